import json

from fraudline.core import log


def test_events_are_json_on_standard_error_when_asked(capsys):
    log.configure(level="info", as_json=True)
    log.get_logger("a").bind().info("step.done", rows=3)
    log.get_logger("a").bind().debug("not.shown")
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert {key: json.loads(line)[key] for key in ("event", "rows", "level")} == {
        "event": "step.done",
        "rows": 3,
        "level": "info",
    }
    assert captured.out == ""


def test_text_of_a_client_commands_no_terminal(capsys):
    log.configure()
    log.get_logger("a").warning("serve.refused", path="/v1/models/\x1b[2J\x9b\u202e", error="größe", rows=3)
    line = capsys.readouterr().err
    assert line.rstrip("\n").isprintable()
    assert r"/v1/models/\x1b[2J\x9b\u202e" in line
    assert "größe" in line
