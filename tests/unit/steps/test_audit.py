"""A card is erased while workers go on."""

from contextlib import closing
from pathlib import Path

import pytest

from fraudline.core.card_keys import CardKeys
from fraudline.steps import audit
from fraudline.steps.params import Params
from fraudline.stream.params import StreamParams
from fraudline.stream.sealing import Sealer
from fraudline.stream.transport import Output


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
                Sealer(worker).erase([output.key.decode()])
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
