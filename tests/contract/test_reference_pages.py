"""The reference pages that come from the code are fresh, and say what the code says."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click
from docs.generate import FOLDER, pages

from fraudline.cli.main import cli
from fraudline.features.spec import load_spec


def test_no_generated_page_is_stale():
    for name, page in pages().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == page, f"{name} is stale: python -m docs.generate"


def test_a_variable_that_gives_an_option_its_value_is_named_by_the_help_of_the_command():
    def unnamed(command: click.Command, above: click.Context) -> Iterator[str]:
        context = click.Context(command, parent=above, info_name=command.name)
        if isinstance(command, click.Group):
            inner = (command.get_command(context, name) for name in command.list_commands(context))
            yield from chain.from_iterable(unnamed(each, context) for each in inner if each is not None)
        options = (each for each in command.params if isinstance(each, click.Option) and each.envvar)
        yield from (f"{context.command_path} {each.opts[0]}" for each in options if not each.show_envvar)

    assert not list(unnamed(cli, click.Context(cli)))


def test_every_feature_has_its_line():
    page = (FOLDER / "features.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in load_spec().names)


def test_every_parameter_says_what_it_means():
    rows = [line for line in (FOLDER / "params.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows
    assert not [row for row in rows if not row.rsplit(" | ", 1)[-1].strip(" |")]


def test_no_page_names_a_path_of_a_machine():
    root = str(Path.cwd())
    assert not [name for name, page in pages().items() if root in page or str(Path.home()) in page]
