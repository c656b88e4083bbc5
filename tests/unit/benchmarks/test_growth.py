"""What a partition's state costs is measured by a process that the benchmark starts: it runs to its end."""

import json

import pytest

from benchmarks.streaming import growth


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({}, {"cpu_s", "memory_mb", "card_bytes"}),
        ({"folder": True}, {"checkpoint_s", "begin_ms", "longest_before_ms", "longest_during_ms", "restore_s"}),
        ({"folder": True, "sealing": True}, {"plain_save_s", "sealed_save_s", "plain_load_s", "sealed_load_s"}),
    ],
    ids=["growth", "checkpoint", "sealing"],
)
def test_a_state_is_measured_with_its_checkpoint_and_what_sealing_costs(kept, said, tmp_path, capsys):
    config = {"cards": 50, "records": 2 * growth.BATCH}
    growth.main(config | kept | ({"folder": str(tmp_path)} if kept else {}))
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said <= figures.keys()
    assert figures["records"] == config["records"]
