"""The drift benchmark's short form: a world of a few days, from the first transaction to the page."""

from benchmarks import drift
from fraudline.data.params import GenerateParams
from tests.support.traffic import watched_artifact

WORLD = GenerateParams(days=10, cards=1_000, merchants=120, seed=11)


def test_it_says_of_every_way_to_look_what_alarmed_and_when(tmp_path, monkeypatch):
    chosen = {name: drift.CHANGES[name] for name in ("amounts in another unit", "new fraud, 3 %")}
    monkeypatch.setattr(drift, "CHANGES", chosen)
    model = watched_artifact(tmp_path / "model", days=14)
    found = drift.run(model, WORLD, quiet_days=4, change_days=3, window=1_000, cpu_rows=1_200)
    looks = ["1,000", "newest 5,000", "a day", "newest 7 days"]
    assert list(found["quiet"]["looks"]) == looks
    assert found["quiet"]["looks"]["a day"]["windows"] == 4
    assert found["changes"]["amounts in another unit"]["looks"]["1,000"]["delay"] is not None
    for change in found["changes"].values():
        for each in change["looks"].values():
            assert (each["delay"] is None) == (each["alarms"] == 0) == (not each["named"])
    assert 0 < found["ageing"]["first"]["score"] < 20
    assert 0 <= found["ageing"]["last"]["alerts"] < 0.5
    page = drift.page(found)
    assert f"alerts {found['ageing']['first']['alerts']:.2%} at the review threshold" in page
    assert page.count("| amounts in another unit |") == 1
    assert all(look in page for look in looks)
    assert found["cpu"]["rows"] == 1_200
