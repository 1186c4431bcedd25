# `bigtop ctl`: every command of the control channel, from control/commands/table.py, and a few of its own.

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bigtop.cli import connection
from bigtop.cli.ctl import ctl_arguments, ctl_cluster
from bigtop.cli.ctl.ctl_target import Target
from bigtop.control import keys
from bigtop.control.commands.base import Command
from bigtop.control.commands.parameters import Kind
from bigtop.control.commands.table import COMMANDS
from bigtop.control.commands.watcher_options import OPTIONS
from bigtop.record import replace
from bigtop.system import signals

_EPILOG = """\
Without a command it reads commands, with completion and a history.

Ends with 0: done. 1: refused or failed. 2: the command line cannot be understood. 3: `status NAME`, and it is
not active. 69: nobody answers. 75: no reply in time. 77: the key may not do that. 78: a wrong key file.
"""


class _Ctl(click.Group):
    """Commands in the order of the table; without one, the shell."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*(one.word for one in COMMANDS), "keygen", "discover"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "keygen":
            return keygen
        if cmd_name == "discover":
            from bigtop.cli.ctl.ctl_discover import discover

            return discover
        for command in COMMANDS:
            if command.word == cmd_name:
                return _click_command(command)
        return None


@click.group(
    cls=_Ctl,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@connection.ENDPOINT
@connection.HOSTS
@click.option("--timeout", type=float, metavar="SECONDS", help="For a reply: 5; none for what waits.")
@click.option("--json", "as_json", is_flag=True, help="Print replies as they come, one line each.")
@connection.IDENTITY
@connection.SERVER_KEY
@connection.SSH
@connection.SSH_KEYFILE
@click.option("--cluster", metavar="NAME", help="Have all nodes of this cluster do it.")
@click.option("--tag", metavar="TAG", help="Those with this tag alone.")
@click.option("--node", multiple=True, metavar="NAME", help="This node alone; several for several.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Control running supervisors."""
    ctx.obj = _target(options)
    if ctx.invoked_subcommand is None:
        from bigtop.cli.ctl.ctl_shell import interact  # readline takes the terminal over

        assert isinstance(ctx.command, click.Group)
        ctx.obj.run("status", {})
        interact(ctx.command, ctx)


def _target(options: dict[str, Any]) -> Target:
    hosts = connection.hosts(options)
    if hosts and options["cluster"]:
        raise click.UsageError("--hosts and --cluster: have one of them")
    return Target(
        endpoints=tuple(host.name for host in hosts) or options["endpoint"] or (None,),
        hosts=hosts,
        timeout=options["timeout"],
        as_json=options["as_json"],
        identity=None if hosts else connection.identity(options),
        tunnel=connection.tunnel(options),
        nodes=ctl_cluster.nodes(options),
    )


class _CtlCommand(click.Command):
    """Takes -1 for a number, which it is, and not for a flag that does not exist."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(re.fullmatch(r"-[0-9]+(\.[0-9]*)?", word) for word in args):
            ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)


def _click_command(source: type[Command]) -> click.Command:
    @click.pass_context
    def run(ctx: click.Context, /, **given: Any) -> None:
        target = ctx.find_object(Target)
        assert target is not None
        if given.pop("as_json", False):
            target = replace(target, as_json=True)
        ctx.exit(_run(target, source, given))

    params = [*ctl_arguments.click_parameters(source, _complete), *_OWN.get(source.word, ())]
    settings: dict[str, Any] = {}
    if any(kind in (Kind.WORDS, Kind.PAIRS) for kind in ctl_arguments.kinds(source)):
        # From the first word on everything is meant for the command that is added, dashes included.
        settings = {"allow_interspersed_args": source.word != "add"}
    return _CtlCommand(
        source.word, callback=run, params=params, help=source.__doc__, context_settings=settings
    )


def _run(target: Target, source: type[Command], given: dict[str, Any]) -> int:
    follows, watches, output = (given.pop(name, None) for name in ("follow", "watch", "output"))
    if target.nodes is not None and (follows or watches or source.word in ("listen", "profile", "upgrade")):
        raise click.UsageError(
            f"{source.word}: this needs a connection of its own: there is none with --cluster"
        )
    properties = ctl_arguments.properties(source, given)
    if source.word == "profile" or watches:
        from bigtop.cli.ctl import ctl_live

        if watches:
            return ctl_live.watch(target, source.word, properties)
        return ctl_live.profile(target, properties, output)
    if source.word == "upgrade" and properties.get("waiting"):
        from bigtop.cli.ctl import ctl_upgrade

        return ctl_upgrade.upgrade(target, properties)
    if source.word != "listen" and not follows:
        return target.run(source.word, properties)
    from bigtop.cli.ctl import ctl_listen

    if source.word == "listen":
        ctl_listen.listen(target, tuple(given["words"]))
    else:
        ctl_listen.follow(target, str(properties["name"]), int(str(properties.get("lines", 20))))
    return 0


_JSON = click.Option(["--json", "as_json"], is_flag=True, help="the reply as it comes")
_WATCH = click.Option(["--watch", "-w"], is_flag=True, help="again each second, until it is interrupted")
# Options that are no properties of the command: what is done with its reply.
_OWN: dict[str, list[click.Option]] = {
    "tail": [click.Option(["--follow", "-f"], is_flag=True, help="go on as more is written")],
    "requests": [_WATCH, _JSON],
    "recent": [_JSON],
    "certificates": [_JSON],
    "cache": [_JSON],
    "stack": [_JSON],
    "profile": [
        click.Option(
            ["--output", "-o"], type=Path, metavar="NAME", help="write NAME.svg and NAME.txt, not profile-..."
        ),
        _JSON,
    ],
}


def _complete(ctx: click.Context, what: str, words: Sequence[str]) -> Sequence[str]:
    target = ctx.find_object(Target)
    if target is None:  # while a shell completes, only options have been read
        assert ctx.parent is not None
        target = _target(ctx.parent.params)
    match what:
        case "watcher":
            return target.words("list")
        case "process":
            return target.processes()
        case "pid" if words:
            return target.words("list", name=words[0])
        case "key" if words:
            return target.words("options", name=words[0]) or list(OPTIONS)
        case "signal":
            return [signals.name(number).removeprefix("SIG") for number in range(1, 32)]
    return []


@click.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["view", "operate", "admin"]), default="view", help="What its holder may do."
)
@click.option("--folder", type=Path, default=Path(), help="Where to put the files.")
def keygen(name: str, role: str, folder: Path) -> None:
    """Make a pair of keys, for a supervisor or for somebody who controls it."""
    public, secret = keys.generate(folder, name, role)
    click.echo(f"{secret}  is for {name} alone")
    click.echo(
        f"{public}  goes into the folder of client keys, or to the clients if {name} is the supervisor"
    )
