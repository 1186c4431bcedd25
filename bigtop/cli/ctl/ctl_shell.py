# `bigtop ctl` without a command: one line after the other, with completion and a history.
#
# Rule: a line means what it means after `bigtop ctl` in a shell; a line that fails ends nothing.

from __future__ import annotations

import os
import readline
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import ShellComplete

from bigtop.cli.words import quoted, unfinished

PROMPT = "bigtop> "


def history_path() -> Path:
    """Return where lines are kept; who has no home gets a path that cannot be written."""
    state = os.environ.get("XDG_STATE_HOME") or Path(os.path.expanduser("~"), ".local", "state")
    return Path(state, "bigtop", "ctl_history")


def interact(group: click.Group, ctx: click.Context) -> None:
    """Read lines until end of file, `exit` or circusctl's `EOF`; the command `quit` ends the supervisor."""
    path = history_path()
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_completer_delims("")  # words.py knows where a word begins, with its quotes
    readline.set_completer(_completer(group, ctx))
    readline.set_completion_display_matches_hook(_show_matches)
    readline.parse_and_bind("tab: complete")
    try:
        _read(group, ctx)
    finally:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            readline.write_history_file(path)


def _read(group: click.Group, ctx: click.Context) -> None:
    while True:
        try:
            words = shlex.split(input(PROMPT))
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            continue
        except ValueError as error:
            click.echo(f"bigtop: {error}", err=True)
            continue
        if words[:1] in (["exit"], ["EOF"]):
            return
        if words and words[0].startswith("?"):
            words = ["help", *filter(None, [words[0][1:]]), *words[1:]]
        if words[:1] == ["help"]:
            words = [*words[1:], "--help"]
        if words and (words[0] != "quit" or "--help" in words or _is_meant()):
            run(group, ctx, words)


def _is_meant() -> bool:
    """Ask whoever types `quit`, which in other shells leaves no more than the shell; a script means it."""
    if not sys.stdin.isatty():
        return True
    try:
        return click.confirm("This stops everything, the supervisor included; `exit` leaves only here. Stop?")
    except click.Abort:
        click.echo()
        return False


def run(group: click.Group, ctx: click.Context, words: Sequence[str]) -> None:
    if words[0] == "--help":
        click.echo(f"{group.get_help(ctx)}\n\nHere also: help [COMMAND], ? [COMMAND], exit.")
        return
    try:
        name, command, rest = group.resolve_command(ctx, list(words))
        assert command is not None
        with command.make_context(name, rest, parent=ctx) as inner:
            command.invoke(inner)
    except click.exceptions.Exit:
        pass
    except click.ClickException as error:
        error.show()
    except KeyboardInterrupt:
        click.echo()


def _completer(group: click.Group, ctx: click.Context) -> Callable[[str, int], str | None]:
    # The same completion as in bash, with the options that came before the command.
    complete = ShellComplete(group, {"obj": ctx.obj}, "bigtop ctl", "_BIGTOP_COMPLETE")
    found: list[str] = []

    def completer(line: str, number: int) -> str | None:
        if number == 0:
            words, last, start, quote = unfinished(line)
            items = complete.get_completions(words, last)
            before = line[:start] + quote
            found[:] = [f"{before}{quoted(item.value, quote, 'shlex')}{quote} " for item in items]
        return found[number] if number < len(found) else None

    return completer


def _show_matches(_line: str, matches: Sequence[str], _longest: int) -> None:
    """Show the words that may follow, each without the line before it."""
    choices = [shlex.join(unfinished(match).words[-1:]) for match in matches]
    click.echo("\n" + "  ".join(choices))
    click.echo(PROMPT + readline.get_line_buffer(), nl=False)
    readline.redisplay()
