"""What a run says of itself while it goes on."""

from rich.console import Console

from fraudline.cli.demo.screen import screen, watch
from fraudline.cli.demo.tally import Tally


def said(total):
    console = Console(width=120, force_terminal=False, record=True)
    watch(console, Tally({}, {}), total=total, running=lambda: False, names={})
    console.print(screen(Tally({}, {}).snapshot(), total, {}))
    return console.export_text()


def test_a_stream_without_an_end_counts_towards_no_total():
    assert "0 decided, 0/s" in said(0)
    assert " of " not in said(0)
    assert said(9_850).count("0 of 9,850 decided") == 2
