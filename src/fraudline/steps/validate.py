"""Step ``validate``: the data set against its expectations; exit code 3 when a critical one fails."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraudline.core.errors import DataError, ValidationFailed
from fraudline.core.files import atomic_folder, read_json, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.core.words import counted
from fraudline.data.expectations import Outcome, Report, validate_dataset
from fraudline.data.validation_report import render
from fraudline.steps.fetch import FETCHED, fetch
from fraudline.steps.params import Params

log = get_logger(__name__)
_NAMED = 3
_ID = "transaction_id"
_WIDEST = 60  # characters of a value in the message


def validate(*, dataset: Path, report: Path, params: Params, previous: Path | None = None) -> dict[str, Any]:
    """Hold a data set against its expectations and write the report.

    Args:
        dataset: the data set folder.
        report: folder of ``validation.json`` and ``index.html``, written also when the data is refused.
        params: the section ``validation`` has the bounds, and ``features`` the rates of currencies.
        previous: the previous version of the data set, for volume, label rate and distribution shift; when not given,
            the one that the Git revision ``validation.previous`` names, none when that is empty.

    Returns:
        ``expectations``, ``warnings`` and ``transactions``.

    Raises:
        ValidationFailed: a critical expectation failed; names it, the count, and of five rows the id and the
            values that fail; the report has the rows whole.
        DataError: there is no transaction.
        UsageError: ``validation.previous`` names no revision with data.
        UnavailableError: the previous version cannot be fetched.
    """
    with _before(previous, dataset, params) as before:
        found = validate_dataset(dataset, params.validation, before, params.features.rates().minor_rates)
    with atomic_folder(report) as temporary:
        write_json(temporary / "validation.json", found.to_dict())
        write_text(temporary / "index.html", render(found))
    for outcome in found.failed("warning"):
        first = _row(outcome, outcome.samples[0]) if outcome.samples else None
        log.warning("validate.warning", expectation=outcome.statement, unexpected=outcome.unexpected, first=first)
    critical = found.failed("critical")
    if critical:
        raise ValidationFailed(
            _problem(critical),
            f"Correct the data, or the bound that is named, in params.yaml; the report is {report / 'index.html'}.",
        )
    log.info("validate.done", expectations=len(found.outcomes), warnings=len(found.failed("warning")))
    return _metrics(found)


@contextmanager
def _before(previous: Path | None, dataset: Path, params: Params) -> Iterator[Path | None]:
    """The previous version: as given, or of a revision of the repository that the data set itself came from."""
    revision = params.validation.previous
    if previous is not None or not revision:
        yield previous
        return
    try:
        origin = read_json(dataset / FETCHED)
        data_dvc, repo = Path(origin["data_dvc"]), str(origin["repo"])
    except (OSError, KeyError, TypeError, DataError) as error:
        raise DataError(
            f"{dataset / FETCHED} does not say where the data is from, so {revision} has no repository.",
            "Run the fetch step first, or give the previous version as a folder.",
        ) from error
    with tempfile.TemporaryDirectory(prefix="fraudline-previous-") as folder:
        fetch(data_dvc=data_dvc, dataset=Path(folder) / "dataset", params=params, repo=repo, revision=revision)
        yield Path(folder) / "dataset"


def _metrics(found: Report) -> dict[str, Any]:
    return {
        "expectations": len(found.outcomes),
        "warnings": len(found.failed("warning")),
        "transactions": int(found.meta.get("transactions", 0)),
    }


def _problem(critical: list[Outcome]) -> str:
    lines = [f"{counted(len(critical), 'critical expectations')} failed:"]
    for outcome in critical[:_NAMED]:
        rows = f" ({outcome.unexpected:,} of {counted(outcome.elements, 'rows')} do not fit)"
        lines.append(f"- {outcome.table}: {outcome.statement}{rows if outcome.elements > 1 else ''}")
        lines += [f"    {_row(outcome, sample)}" for sample in outcome.samples]
    if len(critical) > _NAMED:
        lines.append(f"- and {len(critical) - _NAMED} more.")
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome, sample: Mapping[str, str]) -> str:
    """One row that fails: its transaction, where it is one, and the values that say why."""
    values = ", ".join(f"{name}={_shown(sample[name])}" for name in outcome.columns)
    return f"{_shown(sample[_ID])}: {values}" if _ID in sample else values


def _shown(value: str) -> str:
    """A value of the data as one short word of a terminal, whatever it holds."""
    plain = value if value.strip() and value.isprintable() else repr(value)
    return plain if len(plain) <= _WIDEST else f"{plain[: _WIDEST - 1]}…"
