"""The pages' parts hold what is long and leave nothing empty."""

import re

from fraudline.model.evaluation_charts import Line, line_chart
from fraudline.model.page import STYLE, facts, sheet


def test_facts_wrap_and_have_no_row_of_empty_titles():
    text = facts([("why", "x" * 400 + " <b>")])
    assert "<th" not in text
    assert "&lt;b&gt;" in text
    assert ".facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}" in STYLE


def test_a_table_is_reached_by_the_keyboard_and_has_no_heading_without_words():
    table = sheet(["", "now"], ["<tr><td>ap</td><td>.4</td></tr>"])
    assert table.startswith('<div class="sheet" tabindex="0">')
    assert "<tr><td></td><th>now</th></tr>" in table
    assert facts([("why", "x")]).startswith('<div class="sheet facts" tabindex="0">')


def test_a_large_tick_leaves_room_for_the_name_of_its_axis():
    chart = line_chart(
        [Line("saved", [0.0, 1.0], [0.0, 60_000.0], "c1")], x_label="x", y_label="saved", y_range=(0.0, 60_000.0)
    )
    assert ">40k</text>" in chart
    assert "40000" not in chart


def test_a_long_name_in_the_legend_ends_inside_the_drawing():
    name = "now (aca2c828f7c3 at 7.0)"
    chart = line_chart([Line(name, [0.0, 1.0], [0.0, 1.0], "c1")], x_label="x", y_label="y", legend="right-top")
    before = chart[: chart.index(f">{name}")]
    left = float(before[before.rindex(' x="') + 4 :].split('"')[0])
    width = float(chart[chart.index('viewBox="0 0 ') + 13 :].split()[0])
    assert left + 6.5 * len(name) < width


def test_a_sum_of_millions_leaves_room_for_the_name_of_its_axis():
    chart = line_chart(
        [Line("saved", [0.0, 1.0], [0.0, 4e7], "c1")], x_label="x", y_label="saved, net, JPY", y_range=(0.0, 4e7)
    )
    assert ">20M</text>" in chart
    assert "000k" not in chart


def test_a_line_of_one_point_is_seen():
    chart = line_chart([Line("a", [0.0], [0.5], "c1")], x_label="day", y_label="alerts")
    assert '<circle class="dot c1"' in chart
    assert "<circle" not in line_chart([Line("a", [0.0, 1.0], [0.5, 0.6], "c1")], x_label="day", y_label="alerts")


def test_a_mark_at_the_right_edge_is_named_inside_the_drawing():
    marks = [(0.5, "today", "c1"), (1.0, "alert_budget:0.01", "c2")]
    chart = line_chart([Line("a", [0.0, 1.0], [0.0, 1.0], "c1")], x_label="x", y_label="y", marks=marks)
    anchors = dict(re.findall(r'text-anchor="(\w+)">(today|alert_budget:0.01)<', chart))
    assert anchors == {"start": "today", "end": "alert_budget:0.01"}
