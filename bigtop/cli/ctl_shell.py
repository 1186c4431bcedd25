# `bigtop ctl` without a command: one line after the other, with completion and a history.
#
# Rule: a line means what it means after `bigtop ctl` in a shell; a line that fails ends nothing.

from __future__ import annotations

import os
import readline
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import ShellComplete

PROMPT = "bigtop> "


def history_path() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "bigtop", "ctl_history")


def interact(group: click.Group, ctx: click.Context) -> None:
    """Read lines until end of file, `exit` or `quit!`; the command `quit` ends the supervisor."""
    path = history_path()
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_completer_delims(" \t")
    readline.set_completer(_completer(group, ctx))
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
        if words[:1] == ["exit"]:
            return
        if words:
            run(group, ctx, words)


def run(group: click.Group, ctx: click.Context, words: Sequence[str]) -> None:
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

    def completer(start: str, number: int) -> str | None:
        if number == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            with suppress(ValueError):
                found[:] = [item.value + " " for item in complete.get_completions(before.split(), start)]
        return found[number] if number < len(found) else None

    return completer
