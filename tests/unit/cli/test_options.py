"""What commands share."""

from fraudline.cli.labelled import say_figures
from fraudline.cli.options import spoken


def test_a_line_is_not_broken_where_standard_error_is_no_terminal(capsys):
    spoken().print("word " * 60)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_matured_labels_are_said_with_their_interval_and_their_money(capsys):
    found = {"value": 0.5, "interval": [0.4, 0.6]}
    money = {"stopped": 1000, "missed": 250, "held_up": 0, "blocked": 0, "share": found}
    say_figures({"figures": {"recall": found}, "money": {"EUR": money}}, 30)
    said = capsys.readouterr().out
    assert "recall     0.500  (0.400 to 0.600)" in said
    assert "stopped 10.00 EUR, missed 2.50 EUR" in said
