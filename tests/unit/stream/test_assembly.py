"""What a worker compiles before it joins: nothing is left for the first record to wait for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fraudline.core.errors import UsageError
from fraudline.stream.assembly import check_partitions
from fraudline.stream.dedupe import SeenIds, hash_ids
from fraudline.stream.params import StreamParams, Topics
from tests.support.artifacts import tiny_artifact

_SCRIPT = """
import sys
from pathlib import Path
from fraudline.model.artifact import load_artifact
from fraudline.stream import dedupe
from fraudline.stream.assembly import warm

warm(load_artifact(Path(sys.argv[1])), None)
before = len(dedupe._rebuilt.signatures)
seen = dedupe.SeenIds()
seen.restore(Path(sys.argv[2]).read_bytes())
print(len(seen), before, len(dedupe._rebuilt.signatures))
"""


def test_the_ids_of_a_checkpoint_are_restored_without_compiling_anything(tmp_path: Path) -> None:
    seen = SeenIds()
    seen.first(hash_ids(["t-1", "t-2"]), np.zeros(2, np.int64))
    (tmp_path / "seen").write_bytes(seen.snapshot())
    model = tiny_artifact(tmp_path / "m")
    command = [sys.executable, "-c", _SCRIPT, str(model), str(tmp_path / "seen")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    ids, before, after = done.stdout.split()
    assert ids == "2"
    assert int(after) == int(before) >= 1


@pytest.mark.parametrize("found", [3, 5])
def test_a_history_that_is_divided_otherwise_than_the_topic_is_refused(found: int) -> None:
    params = StreamParams(topics=Topics(partitions=4))
    check_partitions(params, 4)
    with pytest.raises(UsageError, match=f"has {found} partitions, the settings say 4"):
        check_partitions(params, found)
