# The fields of a command as words of a command line.
#
# Rule: nothing is said here about any single command; control/commands/parameters.py says it once for all.

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from bigtop.control.commands import parameters
from bigtop.control.commands.base import Command
from bigtop.control.commands.parameters import Kind, Parameter
from bigtop.control.protocol import RefusedError
from bigtop.record import Field

Parameters = dict[str, tuple[Parameter, Field]]
# (what completes, words before it) -> what it may be
Completer = Callable[[click.Context, str, Sequence[str]], Sequence[str]]

_POSITIONAL = (Kind.ARGUMENT, Kind.WORDS, Kind.PAIRS)


def click_parameters(command: type[Command], complete: Completer) -> list[click.Parameter]:
    """Return options, and one argument that takes all other words: assign() tells them apart."""
    fields = parameters.of(command)
    options = [_option(name, parameter) for name, (parameter, _) in fields.items()]
    found: list[click.Parameter] = [option for option in options if option is not None]
    places = [name for name, (parameter, _) in fields.items() if parameter.kind in _POSITIONAL]
    if places:
        usage = " ".join(_usage(name, *fields[name]) for name in places)

        def completions(ctx: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
            words = ctx.params.get("words") or ()
            kind = fields[places[min(len(words), len(places) - 1)]][0].completes
            return [CompletionItem(word) for word in complete(ctx, kind, words) if word.startswith(start)]

        found.append(click.Argument(["words"], nargs=-1, metavar=usage, shell_complete=completions))
    return found


def properties(command: type[Command], given: Mapping[str, Any]) -> dict[str, object]:
    """Return the properties to send. click.UsageError: words are missing, or too many, or no values."""
    fields = parameters.of(command)
    found = assign(fields, given.get("words") or ())
    for name, (parameter, field) in fields.items():
        value = given.get(name)
        if parameter.kind is Kind.FLAG:
            found[name] = field.default is not bool(value)
        elif parameter.kind is Kind.SETTINGS:
            found[name] = dict(_setting(one) for one in value or ())
        elif parameter.kind is Kind.OPTION and value is not None:
            found[name] = value
    try:
        parameters.values(command, found)
    except RefusedError as error:
        raise click.UsageError(str(error).removeprefix("message invalid, ")) from None
    return found


def assign(fields: Parameters, words: Sequence[str]) -> dict[str, object]:
    """Give each word its field. An optional one gets a word only if enough are left for those that follow."""
    rest = list(words)
    places = [(name, *pair) for name, pair in fields.items() if pair[0].kind in _POSITIONAL]
    found: dict[str, object] = {}
    for index, (name, parameter, field) in enumerate(places):
        needed = sum(later.is_required for _, _, later in places[index + 1 :])
        if not field.is_required and len(rest) <= needed:
            continue
        if not rest:
            raise click.UsageError(f"{name.upper()} is missing")
        if parameter.kind is Kind.ARGUMENT:
            found[name] = rest.pop(0)
        else:
            found[name] = _many(parameter, name, rest)
            rest = []
    if rest:
        raise click.UsageError(f"too much: {shlex.join(rest)}")
    return found


def _many(parameter: Parameter, name: str, words: list[str]) -> object:
    if parameter.kind is Kind.PAIRS:
        if len(words) % 2:
            raise click.UsageError(f"{name.upper()}: the value for {words[-1]!r} is missing")
        return dict(zip(words[::2], words[1::2], strict=True))
    if parameter.convert is parameters.text:  # a command line, as one word or as several
        return words[0] if len(words) == 1 else shlex.join(words)
    return words


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} is not KEY=VALUE")
    return key, value


def _option(name: str, parameter: Parameter) -> click.Option | None:
    flag = "--" + (parameter.flag or name).replace("_", "-")
    spellings = list(dict.fromkeys([flag, flag.replace("-", "_").replace("__", "--", 1), name]))
    match parameter.kind:
        case Kind.FLAG:
            return click.Option(spellings, is_flag=True, help=parameter.about)
        case Kind.OPTION:
            return click.Option(spellings, help=parameter.about, metavar=name.upper())
        case Kind.SETTINGS:
            names = ["--option", name]
            return click.Option(names, multiple=True, help=parameter.about, metavar="KEY=VALUE")
    return None


def _usage(name: str, parameter: Parameter, field: Field) -> str:
    word = {Kind.PAIRS: "KEY VALUE ..."}.get(parameter.kind, name.upper())
    if parameter.kind is Kind.WORDS:
        word += " ..."
    return word if field.is_required else f"[{word}]"


def kinds(command: type[Command]) -> set[Kind]:
    return {parameter.kind for parameter, _ in parameters.of(command).values()}
