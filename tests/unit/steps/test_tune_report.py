"""The plots of a search can be read."""

from types import SimpleNamespace

from fraudline.steps.tune_report import slices_plot


def test_a_logarithmic_axis_names_its_ends():
    space = SimpleNamespace(parameters=[SimpleNamespace(name="train.clip", kind="float", log=True)])
    found = [{"params": {"train.clip": value}, "value": 0.4} for value in (6.2, 30.0, 60.0)]
    plot = slices_plot(found, space)
    assert ">6.2</text>" in plot
    assert ">60</text>" in plot
    assert "times" not in plot.replace("Times", "")
