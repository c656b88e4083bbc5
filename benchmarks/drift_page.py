"""The page of the drift benchmark."""

from typing import Any

from fraudline.monitor.params import MonitorParams


def page(result: dict[str, Any]) -> str:
    """The page in Markdown."""
    quiet, cpu, params = result["quiet"], result["cpu"], result["params"]
    first, last = result["ageing"]["first"], result["ageing"]["last"]
    looks = list(quiet["looks"])
    each_test = MonitorParams.model_validate(params).of_a_test
    bars = "---:|" * len(looks)
    rows = [
        f"| {name} | {each['meaning']} | {' | '.join(_shown(each['looks'][look]) for look in looks)} |"
        f" {', '.join(next((found['named'][:3] for found in each['looks'].values() if found['named']), [])) or '–'} |"
        for name, each in result["changes"].items()
    ]
    still = [
        f"| {name} | {' | '.join(_alarms(result[key]['looks'][look]) for look in looks)} |"
        for key, name in (("quiet", "as it was"), ("seasonal", "mornings of working days thinned to a fifth"))
    ]
    return "\n".join(
        [
            "# Drift: false alarms and delay",
            "",
            f"Printed by `make bench-drift`; model `{result['model']}` of the data set in this repository. The settings"
            " were chosen on worlds of other seeds (101 to 103).",
            "",
            f"A window alarms when chance does as much in fewer than {each_test:g} of windows, over all figures"
            f" together, and either the stability index is at least {params['psi_min']:g}, or a value or a narrow"
            f" range of values comes {params['ratio_min']:g} times as often or as rarely; each of the two has"
            " that chance of its own.",
            f"Looked at are every {result['window']:,} transactions and every day, alone and with what came before.",
            "",
            "## Traffic that has not changed: alarms",
            "",
            f"The world goes on for {quiet['days']} days, {quiet['rows']:,} transactions:",
            "",
            f"| | {' | '.join(looks)} |",
            f"|---|{bars}",
            *still,
            "",
            f"The model grows old meanwhile: of the first {result['ageing_days']} days it alerts {first['alerts']:.2%}"
            f" at the review threshold, with a mean score of {first['score']:.2f}; of the last {last['alerts']:.2%},"
            f" with {last['score']:.2f}. So a model needs [renewal](../how-to/renew.md) where nothing changes, too.",
            "",
            "## Traffic that has changed: transactions until the first alarm",
            "",
            "From the first transaction after the data set on; in brackets, how many of the windows alarmed.",
            "",
            f"| change | | {' | '.join(looks)} | named first |",
            f"|---|---|{bars}---|",
            *rows,
            "",
            "## Cost",
            "",
            f"{cpu['rows']:,} decisions ({cpu['megabytes']:g} MB of parquet): {cpu['cpu_seconds']:g} s of CPU, report"
            f" included.{' Other work ran on the machine meanwhile.' if cpu['busy'] else ''}",
            "",
        ]
    )


def _shown(found: dict[str, Any]) -> str:
    return "not found" if found["delay"] is None else f"{found['delay']:,} ({_alarms(found)})"


def _alarms(found: dict[str, Any]) -> str:
    return f"{found['alarms']} of {found['windows']}"
