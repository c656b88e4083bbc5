import contextlib
import errno
import os
import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from fraudline.cli import main as module
from fraudline.cli.main import cli, main
from fraudline.core.errors import DataError, GateFailed, UnavailableError


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fraudline", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from fraudline.cli.main import cli; cli.main(['--help'], standalone_mode=False); "
        "heavy = {'tensorflow', 'mlflow', 'kfp', 'kserve', 'great_expectations', 'dvc', 'pandas', 'numba', 'pyarrow'}; "
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for name in module._COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_the_help_of_a_command_imports_no_arrays_and_no_parameters():
    """All of them in one process, but for the one that reads artifacts."""
    names = sorted(set(module._COMMANDS) - {"artifact"})
    code = (
        f"import sys; from fraudline.cli.main import cli; [cli.get_command(None, name) for name in {names}]; "
        "print('HEAVY', sorted({'numpy', 'pyarrow', 'fraudline.steps.params'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "HEAVY []\n"


def commands(group, path=""):
    """All commands below a group, by their words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command, words = group.get_command(context, name), f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, words)
        else:
            yield words, command


def test_every_command_that_ends_prints_json_for_machines():
    without = {words for words, command in commands(cli) if not any("--json" in each.opts for each in command.params)}
    assert without == {"alerts run", "serve", "stream"}


def test_help_has_each_command_once():
    assert sorted(name for names in module._SECTIONS.values() for name in names) == sorted(module._COMMANDS)


def test_a_command_with_a_slip_of_the_finger_is_guessed(monkeypatch, capsys):
    assert run(monkeypatch, "scroe") == 2
    assert "No such command 'scroe'. Did you mean score?" in capsys.readouterr().err


def test_an_unknown_command_is_a_usage_error(monkeypatch, capsys):
    assert run(monkeypatch, "frobnicate") == 2
    assert "No such command 'frobnicate'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("Row 3 is wrong.", "Correct it."), 3),
        (GateFailed("Not blessed."), 4),
        (UnavailableError("No broker.", "Start one."), 8),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_each_error_has_its_message_and_exit_code(monkeypatch, capsys, error, code):
    def fail(**_):
        raise error

    monkeypatch.setattr(module.cli, "main", fail)
    assert run(monkeypatch) == code
    said = capsys.readouterr().err
    for text in (getattr(error, "problem", ""), getattr(error, "action", "")):
        assert text in said


def test_a_package_of_an_extra_that_is_not_installed_is_named_with_what_to_do(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kfp", None)
    assert run(monkeypatch, "pipeline", "run") == 2
    said = capsys.readouterr().err
    assert "needs kfp, which is not installed" in said
    assert "pip install 'fraudline[pipeline]'" in said
    assert "fraudline/pipeline" in said


@pytest.mark.parametrize(("interrupted", "raised"), [(True, SystemExit), (False, SystemError)])
def test_ctrl_c_that_a_compiled_module_swallows_ends_as_ctrl_c_does(monkeypatch, interrupted, raised):
    def swallow(**_):
        if interrupted:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        raise SystemError("returned a result with an exception set")

    monkeypatch.setattr(module.cli, "main", swallow)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(raised) as ended:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert getattr(ended.value, "code", 130) == 130


def test_a_parameter_file_with_an_unknown_name_is_refused(monkeypatch, capsys, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("sede: 1\n")
    code = run(monkeypatch, "data", "generate", "--params", str(path), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "sede" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_example_in_a_help_text_keeps_its_lines():
    help_text = CliRunner().invoke(cli, ["--help"]).output
    assert "\\b" not in help_text
    assert any(line.strip().startswith("make demo") for line in help_text.splitlines())
    inner = CliRunner().invoke(cli, ["threshold", "compare", "--help"]).output
    assert "\\b" not in inner
    assert any(line.strip().startswith("7.8:9.5") for line in inner.splitlines())


@pytest.mark.parametrize("name", ["/mnt/models/x", None])
def test_a_file_that_cannot_be_used_is_named_with_an_action(monkeypatch, capsys, name):
    def fail(**_):
        raise OSError(errno.ENOSPC, "No space left on device", name)

    monkeypatch.setattr(module.cli, "main", fail)
    assert run(monkeypatch) == 6
    said = capsys.readouterr().err
    assert f"error: {f'{name}: ' if name else ''}No space left on device." in said
    assert "-> " in said


def test_the_scores_do_not_replace_what_is_scored(monkeypatch, capsys, tmp_path):
    file = tmp_path / "day.csv"
    file.write_text("a\n")
    assert (
        run(monkeypatch, "score", str(file), "--model", str(tmp_path), "-o", f"{tmp_path}/../{tmp_path.name}/day.csv")
        == 2
    )
    assert "is what is to be scored" in capsys.readouterr().err
    assert file.read_text() == "a\n"


def test_the_scores_of_a_data_set_do_not_go_into_it(monkeypatch, capsys, tmp_path):
    (tmp_path / "data").mkdir()
    out = tmp_path / "data" / "transactions.parquet"
    assert run(monkeypatch, "score", str(out.parent), "--model", str(tmp_path), "-o", str(out)) == 2
    assert "or in it" in capsys.readouterr().err


def test_what_is_sealed_is_not_sealed_into_itself(monkeypatch, capsys, tmp_path):
    (tmp_path / "key").write_text(f"m1 {'ab' * 32}\n")
    (tmp_path / "folder").mkdir()
    out = tmp_path / "folder" / "x.sealed"
    assert run(monkeypatch, "seal", str(out.parent), "--key-file", str(tmp_path / "key"), "-o", str(out)) == 2
    assert "or in it" in capsys.readouterr().err
    assert not any(out.parent.iterdir())


def test_a_sigterm_leaves_nothing_half_written(tmp_path):
    (tmp_path / "key").write_text(f"m1 {'ab' * 32}\n")
    os.mkfifo(tmp_path / "source")
    out = tmp_path / "out"
    out.mkdir()
    command = ["seal", tmp_path / "source", "--key-file", tmp_path / "key", "-o", out / "x"]
    process = subprocess.Popen([sys.executable, "-m", "fraudline.cli.main", *command])
    with (tmp_path / "source").open("wb"):  # opens once the command reads
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 143
    assert not any(out.iterdir())
