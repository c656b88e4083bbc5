"""A figure that stands on several pages is the one of the page that its command writes."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.quality.summary import summarise

README = Path("README.md").read_text(encoding="utf-8")
FOUND = summarise(json.loads(Path("benchmarks/results/quality.json").read_text(encoding="utf-8"))["cells"])
SAID = {
    "**fraudline**, no fraud as a training target": ["fraudline"],
    "its autoencoder alone": ["autoencoder alone"],
    'its rarity scores ("surprises") without the autoencoder': ["without autoencoder"],
    "hybrid: XGBoost on our features and its scores, supervised": ["hybrid (xgboost)"],
    "XGBoost on our features, supervised": ["xgboost (ours)"],
    "XGBoost on the book's features, supervised": ["xgboost (book)"],
    "Gaussian mixture / isolation forest / ECOD, our features": [
        "gaussian mixture (ours)",
        "isolation forest (ours)",
        "ecod (ours)",
    ],
}


def page(name):
    return Path("docs", name).read_text(encoding="utf-8")


def row(text, name):
    """The other cells of the first line of a table that begins with these."""
    return next(
        [cell.strip() for cell in line.removeprefix(f"| {name} |").strip("| ").split(" | ")]
        for line in text.splitlines()
        if line.startswith(f"| {name} |")
    )


def section(name, part):
    return re.search(rf"<!-- {part} -->(.*)<!-- end of {part} -->", page(f"reference/{name}.md"), re.DOTALL)[1]


@pytest.mark.parametrize(("line", "models"), SAID.items(), ids=lambda value: str(value)[:40])
def test_the_quality_of_a_model_is_that_of_the_ledger(line, models):
    weeks = [FOUND[model].test for model in models]
    cells = [re.sub(r" \(.*|\*", "", cell) for cell in row(README, line)]
    assert cells == [" / ".join(f"{getattr(week, name):.3f}"[1:] for week in weeks) for name in ("ap", "auc", "cp100")]


def test_the_means_over_the_test_weeks_are_those_of_the_ledger():
    mean = {model: f"{FOUND[model].prequential[0]:.3f}"[1:] for model in FOUND if FOUND[model].prequential}
    text = " ".join(README.split())
    assert f"Over three test weeks the mean is {mean['fraudline']};" in text
    assert f"reach {mean['lightgbm (ours)']} (LightGBM) to {mean['hybrid (xgboost)']} (hybrid)" in text
    assert f"Without the autoencoder it is {mean['without autoencoder']}:" in text


def test_the_speed_of_the_stream_is_that_of_its_page():
    peers = section("performance", "peers")
    python, confluent = (
        int(row(peers, f"fraudline, {name}")[0].replace(",", "")) for name in ("kafka-python", "confluent")
    )
    text = " ".join(README.split())
    assert f"{python:,} records a CPU second with kafka-python" in text
    assert f"and {round(confluent, -2):,} with confluent" in text
    latency = row(section("performance", "latency"), "fraudline, kafka-python")
    assert f"p50 {latency[1]} and p99 {latency[2]}" in text
    assert (
        f"{1e6 / python:.0f} µs a transaction with `kafka-python`, {1e6 / confluent:.0f} µs with `confluent`"
        in page("how-to/keep.md")
    )


def test_the_sizes_to_plan_with_are_those_that_were_measured():
    keep = page("how-to/keep.md")
    assert f"| {row(section('performance', 'checkpoint'), 'size of the checkpoint')[0]} for a million cards" in keep
    ready, requests = section("endpoint-speed", "ready"), section("endpoint-speed", "requests")
    assert f"| {row(ready, 'fraudline')[1]}, and {row(requests, 'V1, 1 | fraudline')[2]} of CPU" in keep
    cards = section("performance", "growth").partition("| cards |")[2]
    state = int(row(cards, "1,000,000")[2].removesuffix(" B").replace(",", ""))
    assert f"{state / 1000:.2f} kB a card" in keep
    costs = section("performance", "stages")
    rules, blocked = (row(costs, f"{part} (off by default)") for part in ("ten rules", "list of blocked cards"))
    assert f"Ten rules add {rules[0].removeprefix('+ ')} a transaction, {rules[1].strip('+ %')} %" in page(
        "how-to/rules.md"
    )
    assert (
        f"{blocked[0].removeprefix('+ ')} a transaction with 10,000 cards on the list, {blocked[1].strip('+ %')} %"
        in page("how-to/actions.md")
    )


def test_the_speed_of_files_and_requests_is_that_of_the_endpoints_page():
    text = " ".join(README.split())
    files = [row(section("endpoint-speed", "files"), rows)[1] for rows in ("100,000", "1,600,000")]
    least, most = (f"{round(int(each.replace(',', '')), -3):,}" for each in files)
    assert f"{least} to {most} rows of features a CPU second" in text
    requests = section("endpoint-speed", "requests")
    grpc, binary = (row(requests, f"V2 {name}, 1 | fraudline")[1].removesuffix(" ×") for name in ("gRPC", "binary"))
    assert f"{grpc} (gRPC) to {binary} × (V2, binary)" in text


def test_the_kills_are_those_of_the_page_of_reliability():
    kills = re.findall(
        r"(\d+) kills \(.*? with work in hand\) over ([\d,]+) records and .*: 0 lost, 0 doubled, features"
        r" equal to the batch bit for bit: True",
        page("reference/reliability.md"),
    )
    assert f"{sum(int(n) for n, _ in kills)} worker processes killed" in README
    assert f"over {sum(int(n.replace(',', '')) for _, n in kills):,} records: 0 lost, 0 doubled" in README


def test_the_simulated_year_is_that_of_its_page():
    line = re.compile(r"^\| day \d+: .* \| \.\d+ \| (\.\d+) \((\d+) %\) \| (\.\d+) \|$", re.MULTILINE)
    rows = line.findall(page("how-to/renew.md"))
    back = [f"{share} %" for _, share, _ in rows]
    lower = [f"{float(own) - float(without):.2f}"[1:] for own, _, without in rows]
    text = " ".join(README.split())
    assert f"came back to {back[0]}, {back[1]} and {back[2]} of its earlier level" in text
    assert f"without renewal it ended {lower[0]}, {lower[1]} and {lower[2]} lower" in text
    (other,) = re.findall(r"`--seed 2` gave (\d+ %, \d+ % and \d+ %)", page("how-to/renew.md"))
    assert f"Another seed was worse: {other}," in text


def test_the_pages_measured_with_the_model_of_this_repository_name_one_model():
    names = ("drift", "quality-reasons")
    found = {re.search(r"model `([0-9a-f]{12})`", page(f"reference/{name}.md"))[1] for name in names}
    assert len(found) == 1
    assert f"`{found.pop()[:8]}`" in page("adr/0042-a-models-name-is-the-same-on-every-processor.md")
