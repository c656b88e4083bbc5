"""Cost: what is measured, how it is priced, and the table."""

import subprocess
import sys

import pytest

from fraudline.core.errors import UsageError
from fraudline.ops.cost import CostParams, Meter, Usage, table, total

COSTS = {
    "fetch": {"cpu_seconds": 1.0, "memory_gib_seconds": 2.0, "price": 0.001},
    "train": {"cpu_seconds": 100.0, "memory_gib_seconds": 50.0, "price": 0.9},
}


def test_a_price_is_processor_time_and_memory_time_by_the_table():
    prices = CostParams(cpu_hour=0.04, memory_gib_hour=0.01)
    assert Usage(10, 3600, 0).price(prices) == pytest.approx(0.04)
    assert Usage(10, 0, 7200).price(prices) == pytest.approx(0.02)
    assert Usage(10, 3600, 7200).price(CostParams(cpu_hour=0, memory_gib_hour=0)) == 0


def test_work_of_children_is_counted_and_work_before_is_not():
    burn = "sum(i * i for i in range(3_000_000))"
    subprocess.run([sys.executable, "-c", burn], check=True)
    with Meter() as nothing:
        pass
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", burn], check=True)
    assert meter.usage.cpu_seconds > 0.05
    assert nothing.usage.cpu_seconds < meter.usage.cpu_seconds / 2
    assert meter.usage.memory_gib_seconds > 0


def test_the_table_names_the_dearest_step_first_and_ends_with_the_sum():
    lines = [line for line in table(COSTS, CostParams(currency="USD")).splitlines() if line.startswith("|")]
    assert "USD" in lines[0]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["train", "fetch", "**sum**"]
    assert lines[-1] == "| **sum** | 101.0 | 52.0 | 0.901000 |"
    assert total(COSTS)["price"] == pytest.approx(0.901)


def test_a_negative_price_is_refused():
    with pytest.raises(UsageError, match="cpu_hour"):
        CostParams.parse({"cpu_hour": -1}, "params.yaml")
