"""Every command that a page names exists, and takes the options that stand there."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fraudline.cli.main import cli

PAGES = [
    *(Path(name) for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "kserve/README.md")),
    *(page for page in sorted(Path("docs").rglob("*.md")) if page.name != "cli.md"),
]
OURS = re.compile(r"^(?:[A-Z_]+=\S* )*(fraudline|make|python -m (?:benchmarks|docs|pipelines|tests)[\w.]*)(?= |$)")
SEPARATORS = {"|", "||", "&&", "&", ";", ">", "<", ">>"}


def test_the_pages_name_commands_of_every_sort():
    found = [line for page in PAGES for line in commands(page.read_text(encoding="utf-8"))]
    assert len([line for line in found if line.startswith("fraudline ")]) > 150
    assert len([line for line in found if line.startswith("make ")]) > 50
    assert len([line for line in found if line.startswith("python -m ")]) > 10


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_of_the_page_exists_and_takes_its_options(page):
    wrong = {line: why for line in commands(page.read_text(encoding="utf-8")) if (why := fault(line))}
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        "fraudline scores FILE",
        "fraudline audit shows ID",
        "fraudline score FILE --output scored.csv",
        "fraudline pipeline submit|schedules --host URL",
        "make test-everything",
        "python -m benchmarks.nothing",
        "python -m benchmarks.drift --pages docs/reference/drift.md",
    ],
)
def test_a_command_that_is_not_there_is_found(line):
    assert fault(line)


def commands(page: str) -> Iterator[str]:
    """The commands of a page, from its blocks and from its lines."""
    fenced = re.compile(r"^ *```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in fenced.findall(page) for line in block.replace("\\\n", " ").splitlines()]
    inline = [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", fenced.sub("", page))]
    for line in (re.sub(r"^(?:[\d*/,-]+ ){5} *", "", each) for each in lines + inline):
        for part in re.split(r" (?:&&|\|\|?|;) ", line):
            if OURS.match(part):
                yield re.sub(r"^(?:[A-Z_]+=\S* )*", "", part)


def fault(line: str) -> str:
    """What is wrong with a command, or nothing."""
    words = shlex.split(line.replace("\\|", "|"), comments=True)
    words = words[: next((at for at, word in enumerate(words) if word in SEPARATORS), len(words))]
    if words[0] == "make":
        return _of_make(words[1:])
    return _of_module(words[2], words[3:]) if words[0] == "python" else _of_program(words[1:])


def _of_make(words: list[str]) -> str:
    targets = re.findall(r"^([a-z][\w-]*):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    missing = [word for word in words if re.fullmatch(r"[a-z][\w-]*", word) and word not in targets]
    return f"no target {missing}" if missing else ""


def _of_module(module: str, words: list[str]) -> str:
    found = importlib.util.find_spec(module)
    if found is None:
        return f"no module {module}"
    source = "".join(path.read_text(encoding="utf-8") for path in Path(found.origin).parent.glob("*.py"))
    missing = [word for word in words if word.startswith("--") and f'"{word.split("=")[0]}"' not in source]
    return f"no option {missing}" if missing else ""


def _of_program(words: list[str]) -> str:
    command, context = cli, click.Context(cli, info_name="fraudline")
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z|-]*", words[0]):
        inner = [command.get_command(context, name) for name in words[0].split("|")]
        if None in inner:
            return f"no command {words[0]}"
        command, words = inner[0], words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    try:
        # The last option of a mention in the text may stand without its value.
        command.make_parser(context).parse_args([*words, "VALUE"])
    except click.UsageError as error:
        return error.format_message()
    return ""
