"""What counts as drift: the section ``monitor`` of ``params.yaml``."""

from pydantic import Field

from fraudline.core.settings import Settings

_TESTS = 3


class MonitorParams(Settings):
    """A difference is drift when it is both sure (``false_alarms``) and large enough to matter (the effect sizes).

    Attributes:
        false_alarms: chance that one window of traffic that has not changed is called drifted, over all figures and
            the three tests (divergence, rare values, classifier) together. At one window a day 0.003 means one false
            alarm a year.
        topic_rows: newest decisions that are read of the topic, at most, where no file is given.
        min_rows: a window with fewer transactions is inconclusive.
        psi_min: population stability index below which a sure difference is not drift.
        score_psi_min: the same for the score, where decisions are made.
        ratio_min: factor of a bin's share, up or down, below which a sure difference is not drift.
        classifier_rows: rows a day that the domain classifier learns from; 0 leaves it out.
        auc_min: area under its ROC curve below which a sure difference is not drift.
        label_rows_min: frauds with a matured label below which nothing is said of performance.
        confidence: of the intervals of precision and recall.
    """

    false_alarms: float = Field(default=0.003, gt=0, lt=0.5)
    topic_rows: int = Field(default=200_000, ge=1_000)
    min_rows: int = Field(default=1_000, ge=100)
    psi_min: float = Field(default=0.1, ge=0)
    score_psi_min: float = Field(default=0.1, ge=0)
    ratio_min: float = Field(default=1.5, gt=1)
    classifier_rows: int = Field(default=200, ge=0, le=2_000)
    auc_min: float = Field(default=0.6, ge=0.5, lt=1)
    label_rows_min: int = Field(default=30, ge=5)
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @property
    def of_a_test(self) -> float:
        """The share of ``false_alarms`` that each of the tests may take."""
        return self.false_alarms / _TESTS
