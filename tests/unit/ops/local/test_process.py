import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fraudline.core.errors import UnavailableError
from fraudline.ops.local.process import ChildProcess, free_port, port_open
from tests.support.processes import alive
from tests.support.until import until

SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def test_a_child_is_gone_after_its_block(tmp_path: Path) -> None:
    with ChildProcess("sleeper", SLEEP, log_path=tmp_path / "log") as child:
        child.wait_ready(lambda: "up" in child.log_tail())
        pid = child.pid
        assert alive(pid)
    assert not alive(pid)
    assert child.returncode == -15


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = ChildProcess("stubborn", STUBBORN, log_path=tmp_path / "log", stop_timeout=0.2).start()
    child.wait_ready(lambda: "up" in child.log_tail())
    assert child.stop() == -9


def test_a_child_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "print('no such option'); raise SystemExit(3)"]
    child = ChildProcess("early", command, log_path=tmp_path / "log").start()
    with pytest.raises(UnavailableError, match=r"status 3(.|\n)*no such option"):
        child.wait_ready(lambda: False)


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    child = ChildProcess("slow", SLEEP, log_path=tmp_path / "log").start()
    with pytest.raises(UnavailableError, match="not ready within"):
        child.wait_ready(lambda: False, timeout=0.2)
    assert not child.running


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties a child to its parent on Linux only")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom fraudline.ops.local.process import ChildProcess\n"
        f"child = ChildProcess('sleeper', {SLEEP!r}, log_path=Path({str(tmp_path / 'log')!r})).start()\n"
        "child.wait_ready(lambda: 'up' in child.log_tail())\nprint('pid', child.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(next(line for line in parent.stdout if line.startswith("pid ")).split()[1])
        assert alive(pid)
        parent.kill()
    until(lambda: not alive(pid), "the child's end")


def test_a_free_port_is_closed() -> None:
    assert not port_open(free_port())


def test_no_port_is_given_twice_though_nobody_listens_yet() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == len(given)


def test_two_processes_that_ask_at_once_are_given_no_port_in_common() -> None:
    code = "from fraudline.ops.local.process import free_port\ninput()\nprint(*(free_port() for _ in range(500)))"
    command = [sys.executable, "-c", code]
    asking = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in asking:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    first, second = (set(process.communicate()[0].split()) for process in asking)
    assert len(first) == len(second) == 500
    assert not first & second


def test_a_server_may_listen_at_a_free_port() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert port_open(port)
