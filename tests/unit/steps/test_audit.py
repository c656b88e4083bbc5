"""A card is erased while workers go on, its keys get another master key, and a trail is written by two at once."""

import json
from contextlib import closing, nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fraudline.cli.main import cli
from fraudline.core.card_keys import CardKeys
from fraudline.core.errors import StateError, UsageError
from fraudline.ops.params import RegistryParams
from fraudline.steps import audit
from fraudline.steps.audit_story import _run
from fraudline.steps.params import Params
from fraudline.stream.decision_log import Piece
from fraudline.stream.params import StreamParams
from fraudline.stream.sealing import Sealer
from fraudline.stream.transport import Output, Record


@pytest.mark.parametrize("had_key", [True, False])
def test_a_card_that_comes_again_before_the_command_ends_keeps_the_key_it_has_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had_key: bool
) -> None:
    (tmp_path / "master").write_text("ab" * 32)
    store = {"card_keys": str(tmp_path / "keys.db"), "card_keys_master": str(tmp_path / "master")}
    with closing(CardKeys(tmp_path / "keys.db", tmp_path / "master")) as worker:
        before = worker.names(["card-1"])["card-1"] if had_key else None
        again = []

        class Sender:
            """What it sends a worker reads at once, and the card comes again."""

            def send(self, output: Output) -> None:
                Sealer(worker).erase([Record("transactions", 0, 7, 0, output.key, output.value, output.headers)])
                again.append(worker.names(["card-1"])["card-1"])

            def flush(self) -> None: ...

            def close(self) -> None: ...

        monkeypatch.setattr(audit, "open_sender", lambda *_: Sender())
        monkeypatch.setattr(audit, "is_there", lambda *_: False)
        params = Params(stream=StreamParams(**store))
        result = audit.erase(card="card-1", params=params, by="ada", why="request 17")
        assert worker.opened(*again[0]) == b"card-1"
        assert result["key_destroyed"] is had_key
        if before is not None:
            assert worker.opened(*before) is None
            assert result["pseudonym"] == before.pseudonym


def test_two_exports_at_once_go_on_one_after_the_other_so_that_the_head_of_each_stays_in_the_chain(
    tmp_path, monkeypatch
):
    done: dict[str, Any] = {}
    reading = Event()

    class Growing:
        """A topic that has grown from 5 to 20 decisions when the second looks."""

        def days(self, start, _until_ms):
            begin, end = start.get(0, 0), 20
            if not reading.is_set():
                reading.set()
                second.start()
                second.join(0.5)  # without a lock it is through by now
                end = 5
            records = (Record("decisions", 0, offset, 0, b"c", b"{}") for offset in range(begin, end))
            yield Piece("2026-01-05", {0: (begin, end)}, 0, records)

    def export(name):
        done[name] = audit.export(out=tmp_path / "trail", params=Params())

    monkeypatch.setattr(audit, "open_log", lambda _: nullcontext(Growing()))
    second = Thread(target=export, args=("second",))
    export("first")
    second.join()
    for name in ("first", "second"):
        report = audit.verify(folder=tmp_path / "trail", params=Params(), head=done[name]["head"])
        assert report["whole"], name
    assert done["first"]["total"] == 5
    assert done["second"]["total"] == 20


def test_the_master_key_of_the_cards_is_changed_and_the_old_one_is_refused(tmp_path: Path) -> None:
    store, masters = tmp_path / "keys.db", [tmp_path / name for name in ("old", "new")]
    for master, text in zip(masters, ("ab", "cd"), strict=True):
        master.write_text(text * 32)
    with closing(CardKeys(store, masters[0])) as keys:
        name = keys.names(["card-1"])["card-1"]
    files = [tmp_path / f"{master.name}.yaml" for master in masters]
    for master, file in zip(masters, files, strict=True):
        file.write_text(json.dumps({"stream": {"card_keys": str(store), "card_keys_master": str(master)}}))

    def rewrap(params: Path, to: Path) -> Result:
        return CliRunner().invoke(cli, ["audit", "rewrap", "--master", str(to), "--params", str(params), "--json"])

    found = rewrap(files[0], masters[1])
    assert json.loads(found.stdout) == {"cards": 1, "store": str(store)}
    with pytest.raises(StateError, match="another master key"):
        CardKeys(store, masters[0])
    assert rewrap(files[1], masters[0]).exit_code == 0  # and back
    with closing(CardKeys(store, masters[0])) as keys:
        assert keys.known("card-1") == name.pseudonym
    with pytest.raises(UsageError, match="have no keys"):
        audit.rewrap(master=masters[1], params=Params())


def test_a_story_tells_the_address_of_mlflow_without_its_password() -> None:
    params = Params(registry=RegistryParams(tracking_uri="https://ada:hush@mlflow.test/x"))
    told = _run({"registration": {"registered": True, "run_id": "r1"}}, params)
    assert (told["run_id"], told["tracking"]) == ("r1", "https://mlflow.test/x")
