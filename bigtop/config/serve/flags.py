# The table as flags: split by getopt or by click, and what these understood turned into a layer.
#
# Rule: they split a command line and nothing more. They convert no value and know no default and no
# variable, so that a wrong value reads the same wherever it comes from.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from bigtop.config.gunicorn import flags as gunicorn
from bigtop.config.serve import uvicorn
from bigtop.config.serve.option import Option
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.settings import Given, Layer
from bigtop.errors import ConfigError
from bigtop.system.imports import import_without

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def split(argv: Sequence[str]) -> tuple[list[str], dict[str, object]] | None:
    """Return the words of an expanded command line that belong to no flag, and what click would find in the
    flags; None where click has something to say. Most command lines are right, and click takes a third of the
    time until a site is served."""
    getopt = import_without("getopt", absent="gettext")
    takes, switches = _kinds()
    long_flags = [flag[2:] for flag in switches if flag.startswith("--")]
    long_flags += [flag[2:] + "=" for flag in takes if flag.startswith("--")]
    short_flags = "".join(flag[1:] for flag in switches if not flag.startswith("--"))
    short_flags += "".join(flag[1:] + ":" for flag in takes if not flag.startswith("--"))
    for word in argv:  # getopt completes flags, click does not
        flag = word.partition("=")[0]
        if word.startswith("--") and word != "--" and flag not in takes and flag not in switches:
            return None
    try:
        found, words = getopt.gnu_getopt(list(argv), short_flags, long_flags)
    except getopt.GetoptError:
        return None
    params: dict[str, object] = {}
    for flag, value in found:
        if flag in switches:
            name, given = switches[flag]
            params[name] = given
        else:
            name, many = takes[flag]
            before = params.get(name, ())
            params[name] = (*before, value) if many and isinstance(before, tuple) else value
    return words, params


@cache
def _kinds() -> tuple[dict[str, tuple[str, bool]], dict[str, tuple[str, bool]]]:
    """Return flags that take a value, each with its parameter and whether that has several; and switches,
    each with its parameter and what it sets that to."""
    takes, switches = {}, {}
    for option in OPTIONS:
        for flag in option.flags:
            if option.is_switch:
                switches[flag] = option.name, True
                switches[option.flag.replace("--", "--no-", 1)] = option.name, False
            else:
                takes[flag] = option.name, option.many
    for flags, name, has_value, many in gunicorn.kinds():
        for flag in flags:
            if has_value:
                takes[flag] = name, many
            else:
                switches[flag] = name, True
    return takes, switches


def parameters() -> list[click.Parameter]:
    """Return a click option for each row of the table, in its order, and for each flag of gunicorn's."""
    return [*(_parameter(option) for option in OPTIONS), *gunicorn.parameters()]


def _parameter(option: Option[object]) -> click.Option:
    import click  # here: most command lines do without

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

    gunicorn's users write `--preload myproj.wsgi`: only a word that --preload knows is its value. That of
    --refork is a number.
    """
    bare = {option.flag: option for option in OPTIONS if option.bare}
    expanded: list[str] = []
    for position, word in enumerate(argv):
        option = bare.get(word)
        following = argv[position + 1] if position + 1 < len(argv) else ""
        is_number = following.isdecimal() and option is not None and option.metavar == "N"
        if option and following not in option.metavar.split("|") and not is_number:
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
    argv = expand(argv)
    understood = split(argv)
    if understood is not None and not understood[0]:
        return collect(understood[1], f" in {source}")
    import click  # here: it finds the words for what is wrong

    command = click.Command(source, params=parameters(), add_help_option=False)
    try:
        context = command.make_context(source, argv)
    except click.UsageError as error:
        raise ConfigError(f"{source}: {error.format_message()}") from error
    return collect(context.params, f" in {source}")
