# The table as flags: click's options made from it, and what click understood turned into a layer.
#
# Rule: click splits a command line and nothing more. It converts no value and knows no default and no
# variable, so that a wrong value reads the same wherever it comes from.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from bigtop.config.gunicorn import flags as gunicorn
from bigtop.config.serve import uvicorn
from bigtop.config.serve.option import Option
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.settings import Given, Layer
from bigtop.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def parameters() -> list[click.Parameter]:
    """Return a click option for each row of the table, in its order, and for each flag of gunicorn's."""
    return [*(_parameter(option) for option in OPTIONS), *gunicorn.parameters()]


def _parameter(option: Option[object]) -> click.Option:
    if option.is_switch:
        off = option.flag.replace("--", "--no-", 1)
        short = [flag for flag in option.flags if flag != option.flag]
        declaration = [*short, f"{option.flag}/{off}", option.name]
        return click.Option(declaration, default=None, help=describe(option))
    return click.Option(
        [*option.flags, option.name],
        metavar=option.metavar,
        multiple=option.many,
        default=None,
        help=describe(option),
        shell_complete=lambda _context, _param, begun: _completions(option, begun),
    )


def _completions(option: Option[object], begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    if option.metavar in ("FILE", "DIR", "DIRS"):
        return [CompletionItem(begun, type="file" if option.metavar == "FILE" else "dir")]
    words = option.metavar.split("|")
    return [CompletionItem(word) for word in words if word.islower() and word.startswith(begun)]


def describe(option: Option[object]) -> str:
    """Return the help of an option with its variable and its default."""
    facts = [f"${option.variable}"]
    if option.default:
        facts.append(f"default: {' '.join(option.default)}")
    return f"{option.help}  [{'; '.join(facts)}]"


def expand(argv: Sequence[str]) -> list[str]:
    """Complete flags whose value may be left out, after translating those of uvicorn."""
    return completed(uvicorn.translate(argv))


def completed(argv: Sequence[str]) -> list[str]:
    """Complete flags whose value may be left out.

    gunicorn's users write `--preload myproj.wsgi`: only a word that --preload knows is its value.
    """
    bare = {option.flag: option for option in OPTIONS if option.bare}
    expanded: list[str] = []
    for position, word in enumerate(argv):
        option = bare.get(word)
        following = argv[position + 1] if position + 1 < len(argv) else ""
        if option and following not in option.metavar.split("|"):
            word = f"{word}={option.bare}"
        expanded.append(word)
    return expanded


def collect(params: Mapping[str, object], where: str = "") -> Layer:
    """Return what click found: name -> None, a switch, a text or several. `where` ends the origin's name.
    ConfigError for flags of gunicorn's that cannot be had."""
    layer: dict[str, Given] = dict(gunicorn.collect(params, where))
    for option in OPTIONS:
        if (given := own(params, option, where)) is not None:
            layer[option.name] = given
    return layer


def own(params: Mapping[str, object], option: Option[object], where: str = "") -> Given | None:
    """Return what click found of one option of ours, None where that is nothing."""
    match params.get(option.name):
        case None | ():
            return None
        case bool(value):
            texts: tuple[str, ...] = ("on" if value else "off",)
        case tuple(value):
            texts = value
        case value:
            texts = (str(value),)
    return Given(texts, option.flag + where)


def parse(argv: Sequence[str], source: str) -> Layer:
    """Return the flags in `argv`; ConfigError names `source` when they cannot be understood."""
    command = click.Command(source, params=parameters(), add_help_option=False)
    try:
        context = command.make_context(source, expand(argv))
    except click.UsageError as error:
        raise ConfigError(f"{source}: {error.format_message()}") from error
    return collect(context.params, f" in {source}")
