"""A short year: the loop turns, and the picture has what happened."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from fraudline.cli.main import cli
from fraudline.cli.simulate import run as simulation
from fraudline.cli.simulate.picture import draw
from fraudline.cli.simulate.world import Change, payment_app
from fraudline.core.errors import StateError, UsageError
from fraudline.core.files import read_json, write_json

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        changes = (
            Change(7, "an app takes a fifth of the purchases", "drift", payment_app),
            Change(14, "a policy with eight times the alerts", "candidate"),
        )
        patch.setattr(simulation, "CHANGES", changes)
        lax = {"rules": [{"metric": "roc_auc", "min": 0.1}]}
        patch.setattr(simulation, "SETTINGS", simulation.SETTINGS | {"gate": lax})
        folder = tmp_path_factory.mktemp("year") / "year"
        made = simulation.simulate(days=28, cards=250, seed=3, kind="xgboost", folder=folder)
        return made, simulation.figures(made, 28)


def test_a_folder_with_something_of_yours_is_not_replaced(tmp_path):
    (tmp_path / "thesis.md").write_text("years of work")
    with pytest.raises(UsageError, match="something else than a simulated year"):
        simulation.simulate(days=28, cards=100, seed=1, kind="xgboost", folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.md"]


def test_a_folder_in_which_a_simulation_is_at_work_is_refused_and_stays_as_it_is(tmp_path):
    write_json(tmp_path / simulation.YEAR, {"of": "the first"})
    (tmp_path / "store").mkdir()
    command = ["simulate", "--days", "28", "--cards", "100", "-o", str(tmp_path)]
    with simulation.alone(tmp_path), pytest.raises(StateError, match="Another simulation is at work"):
        CliRunner().invoke(cli, command, catch_exceptions=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "year.json"]
    assert read_json(tmp_path / simulation.YEAR) == {"of": "the first"}
    with simulation.alone(tmp_path):
        pass  # it is free again


def test_a_change_is_noticed_and_a_careless_candidate_is_taken_back_by_its_canary(year):
    made, _ = year
    told = {noted.what for noted in made.notes}
    assert {"drift", "candidate"} <= told
    assert {"retrained", "rollback"} <= told
    assert made.champion
    assert not made.canary


def test_nothing_is_begun_or_merged_twice_and_every_week_has_its_recall(year):
    _, figures = year
    assert figures["duplicates"] == 0
    assert len(figures["recall"]) == len(figures["recall_without"]) == 4
    assert all(0 <= each <= 1 for each in figures["recall"] + figures["recall_without"])


def test_the_picture_is_whole_and_names_every_event(year):
    _, figures = year
    drawn = draw(figures)
    ElementTree.fromstring(drawn)
    assert figures["events"]
    for event in figures["events"]:
        assert event["text"][:20] in drawn.replace("&amp;", "&")
