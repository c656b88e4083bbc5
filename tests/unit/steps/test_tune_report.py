"""The plots of a search can be read."""

from types import SimpleNamespace

from fraudline.steps.tune_report import slices_plot, tune_page


def test_a_logarithmic_axis_names_its_ends():
    space = SimpleNamespace(parameters=[SimpleNamespace(name="train.clip", kind="float", log=True)])
    found = [{"params": {"train.clip": value}, "value": 0.4} for value in (6.2, 30.0, 60.0)]
    plot = slices_plot(found, space)
    assert ">6.2</text>" in plot
    assert ">60</text>" in plot
    assert "times" not in plot.replace("Times", "")


def test_the_best_trials_stand_side_by_side_so_that_a_page_holds_all_parameters():
    space = SimpleNamespace(
        parameters=[SimpleNamespace(name=f"train.p{n}", kind="float", log=False) for n in range(14)]
    )
    params = {entry.name: 0.5 for entry in space.parameters}
    trials = [{"number": n, "state": "COMPLETE", "value": n / 100, "params": params} for n in range(20)]
    result = {"study": "s", "pruned": 0, "trials": 20, "default": 0.1, "best": {"value": 0.19, "trial": 19}}
    page = tune_page({**result, "importance": {}, "fragment": "train: {}\n"}, trials, space)
    table = page[page.index("Best trials") :]
    assert "<th>trial</th><th>19</th><th>18</th>" in table
    assert table.count("<th>") == 9
    assert table.count("<tr><td>train.p") == 14
