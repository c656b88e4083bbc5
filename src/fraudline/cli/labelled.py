"""What matured labels say, for a terminal."""

from collections.abc import Mapping
from typing import Any

from fraudline.cli.options import output


def say_figures(document: Mapping[str, Any], least: int) -> None:
    """Print what matured labels say: precision and recall with their intervals, and money by outcome.

    Args:
        document: what ``labels performance`` found, or ``performance`` of a ``drift.json``.
        least: frauds that figures need, ``monitor.label_rows_min``.
    """
    from fraudline.data.money import money
    from fraudline.monitor.labelled_money import OUTCOMES

    console = output()
    for name, each in document["figures"].items():
        console.print(f"{name:10} {_figure(each)}")
    if not document["figures"]:
        console.print(f"too few frauds for figures: fewer than {least} (monitor.label_rows_min)")
    for code, sums in document["money"].items():
        stopped, missed, held_up, blocked = (money(sums[name], code) for name in OUTCOMES)
        console.print(f"frauds     stopped {stopped}, missed {missed}; stopped share {_figure(sums['share'])}")
        console.print(f"good       held up {held_up}")
        if sums["blocked"]:
            console.print(f"blocked    {blocked}, of which no label says what it was")


def _figure(each: Mapping[str, Any]) -> str:
    if each["value"] is None:
        return "–"
    ends = "" if each["interval"] is None else "  ({:.3f} to {:.3f})".format(*each["interval"])
    return f"{each['value']:.3f}{ends}"
