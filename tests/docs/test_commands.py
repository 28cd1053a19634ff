"""An undocumented command, option or example that cannot be typed is a failing test."""

from typing import Any

import pytest
import typer.main
from rich.text import Text
from support.docs import ROOT, Shown, commands_in, shown_commands

from commands import Verb, split_help, verbs  # isort: skip (scripts/docs, on the path by support.docs)
from pipeline.cli import build_app

VERBS = list(verbs())
APP: Any = typer.main.get_command(build_app())
SHOWN = list(shown_commands())


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_command_has_a_description_and_examples_that_can_be_typed(verb: Verb):
    examples = split_help(verb).examples
    for example in examples:
        found = list(commands_in(example))
        assert found, f"{example!r} does not call auditfuse"
        for arguments in found:
            parse(arguments)
    assert any(f"{verb.name} " in f"{example} " for example in examples), f"no example of {verb.name}"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_option_is_explained_and_shown_as_it_is_written(verb: Verb):
    for parameter in verb.command.params:
        assert parameter.help, f"{verb.name} {parameter.name}"
        assert Text.from_markup(parameter.help).plain == parameter.help, "brackets are taken for markup"
    assert Text.from_markup(verb.command.help).plain == verb.command.help, "brackets are taken for markup"
    assert f"\n## {verb.name}\n" in (ROOT / "docs" / "cli.md").read_text()


def test_pages_show_commands():
    assert len(SHOWN) > 60


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.page}: {' '.join(shown.arguments)}"[:100])
def test_every_command_that_a_page_shows_can_be_typed(shown: Shown):
    parse(shown.arguments, is_whole=shown.is_whole)


def parse(arguments: list[str], *, is_whole: bool = True) -> None:
    """Parse as the program would, and run nothing. A mention may stop anywhere."""
    command, context, rest = APP, None, list(arguments)
    while getattr(command, "commands", None):
        if not rest:
            assert not is_whole, f"{arguments}: which of {list(command.commands)}?"
            return
        name = rest.pop(0)
        if name.startswith("{") or "|" in name or name == "VERB" or name.startswith("-"):
            assert not is_whole or name == "--help"
            return
        assert name in command.commands, f"there is no command {name!r} in {arguments}"
        command = command.commands[name]
    if is_whole:
        context = command.make_context("auditfuse", rest)
        assert context is not None
        return
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    used = {word.split("=")[0] for word in rest if word.startswith("-") and word != "-"}
    assert used <= known, f"{arguments}: {used - known}"
