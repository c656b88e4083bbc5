"""Draw pictures from a run, after one ``make demo``: ``python -m docs.pictures demo`` or ``dashboards``.

``demo`` runs in a terminal of its own; its last screen and summary, and the first page of the evaluation report, are
photographed by headless Chromium (Debian's package ``chromium``). ``dashboards`` runs the system with a real Prometheus
beside it and draws each panel of the dashboards' JSON from its answers; Grafana has no part in it.
"""

import argparse
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from docs.monitoring.dashboards import DASHBOARDS
from docs.monitoring.drawing import draw
from docs.monitoring.live import watched

ASSETS = Path(__file__).parent / "assets"
_CHROMIUM = "chromium"
_COLUMNS = 118
_PAGE = """<!doctype html><meta charset="utf-8">
<body style="background:#0d1117;color:#e6edf3;margin:14px">
<pre style="font:14px/1.3 'DejaVu Sans Mono',monospace">{code}</pre></body>"""


_SECONDS = 150.0


def main() -> int:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("demo", "dashboards"))
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="traffic behind the dashboards")
    arguments = parser.parse_args()
    return demo() if arguments.what == "demo" else dashboards(arguments.seconds)


def dashboards(seconds: float) -> int:
    """Write ``dashboards/*.png``."""
    with watched(seconds) as (address, begun, ended):
        empty = [
            f"{name}: {title}"
            for name, board in DASHBOARDS.items()
            for title in draw(board, address, start=begun, end=ended, to=ASSETS / "dashboards" / f"{name}.png")
        ]
    if empty:
        raise SystemExit(f"No data for {', '.join(empty)}.")
    return 0


def demo() -> int:
    """Write ``demo.png`` and ``evaluation.png``."""
    _need_chromium()
    shown = _run_in_terminal([sys.executable, "-m", "fraudline.cli.main", "--log-level", "warning", "demo"])
    last = shown[_screen(shown) :]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=_COLUMNS, force_terminal=True, file=nowhere, color_system="truecolor")
        console.print(Text.from_ansi(last))
        html = console.export_html(inline_styles=True, code_format=_PAGE)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "demo.html"
        page.write_text(html, encoding="utf-8")
        _shoot(page, ASSETS / "demo.png", 1_030, 1_020)
    _shoot(Path("build/evaluation/index.html"), ASSETS / "evaluation.png", 1_200, 1_080)
    return 0


def _need_chromium() -> None:
    """Before a demo of minutes.

    Raises:
        SystemExit: it is not installed.
    """
    if shutil.which(_CHROMIUM) is None:
        raise SystemExit(f"There is no {_CHROMIUM}. Install Debian's package {_CHROMIUM}.")


def _screen(shown: str) -> int:
    """Where the last live screen begins: its frame's corner before its title."""
    return shown.rindex("╭", 0, shown.rindex(" fraudline "))


def _run_in_terminal(command: list[str]) -> str:
    """What the command writes to a terminal of fixed width."""
    parts: list[bytes] = []

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 4096)
        parts.append(data)
        return data

    os.environ.update(COLUMNS=str(_COLUMNS), LINES="50", TERM="xterm-256color")
    status = pty.spawn(command, read)
    if status:
        raise SystemExit(os.waitstatus_to_exitcode(status))
    return b"".join(parts).decode("utf-8", errors="replace").replace("\r\n", "\n")


def _shoot(page: Path, picture: Path, width: int, height: int) -> None:
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += ["--disable-sync", "--disable-component-update", "--hide-scrollbars", f"--user-data-dir={profile}"]
        flags += [f"--window-size={width},{height}", f"--screenshot={picture}"]
        subprocess.run([_CHROMIUM, *flags, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
