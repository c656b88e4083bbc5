"""`fraudline retrain` killed at random points: the short form of `make test-loop-kills`."""

from tests.loop.kills import run


def test_ten_kills_leave_one_run_and_one_pull_request_a_cause():
    done = run(10, seed=7)
    assert done["kills"] == 10
    assert sum(done["at"].values()) == 10
    assert done["duplicates"] == {"runs": 0, "requests": 0, "commits": 0, "notes": 0}
