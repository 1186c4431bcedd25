# Command `bigtop web`: a console in the browser for one supervisor or several.

from __future__ import annotations

import getpass
import os
import secrets
import sys
import time
from contextlib import closing
from typing import Any

import click

from bigtop.errors import ConfigError
from bigtop.web import spec as rules
from bigtop.web.access import links
from bigtop.web.access.roles import ADMIN, ROLES, VIEW
from bigtop.web.access.sessions import Person
from bigtop.web.spec import Target, WebSpec
from bigtop.web.store import Store

_HELP = """\
Serve a console for the browser: what every process and every request is doing, logs, and actions.

Without -e it shows every supervisor of this user that runs here; with --cluster, the cluster alone.
`bigtop web login-url` prints a link that logs in once. Others than this machine are let in with --certfile,
or behind --trusted-proxies, and with at least one user (bigtop web user NAME).
"""
_STATE = click.option(
    "--state", metavar="FOLDER", default="", help="Keep users, tokens and the audit log here."
)
_ROLE = click.option("--role", type=click.Choice(ROLES), default=VIEW, show_default=True)


def _target(_context: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[Any, ...]:
    try:
        return tuple(map(rules.target, texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _proxy(_context: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(map(rules.proxy, texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group(
    "web",
    help=_HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--bind", metavar="HOST:PORT|unix:PATH", default=rules.BIND, show_default=True)
@click.option(
    "--endpoint",
    "-e",
    "targets",
    multiple=True,
    callback=_target,
    metavar="[NAME=]WHERE",
    help="A supervisor: its name, path or address; several for several.",
)
@click.option(
    "--hosts", "machines", metavar="LIST", help="Up to 50 machines, as a,b:5555,c; or a file of them."
)
@click.option("--keys", metavar="FOLDER", default="", help="Keys for supervisors on TCP.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name that it is asked under.")
@click.option(
    "--trusted-proxies",
    "proxies",
    multiple=True,
    callback=_proxy,
    metavar="ADDRESS",
    help="Believe this proxy, or those of a network, who a client is.",
)
@click.option("--certfile", metavar="FILE", default="", help="Speak TLS with this certificate.")
@click.option("--keyfile", metavar="FILE", default="", help="The key of --certfile.")
@click.option("--cluster", metavar="NAME", default="", help="Show this cluster, which is led from here, too.")
@_STATE
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    if context.invoked_subcommand is not None:
        context.obj = options["state"]
        return
    if machines := options.pop("machines"):
        from bigtop.control.client import hosts  # few ask other machines

        options["targets"] += tuple(Target(one.endpoint, one.name) for one in hosts.read(machines))
    spec = WebSpec(**options).based_on(os.getcwd())
    # All that serves hangs on this import; a link, or a user, does without.
    from bigtop import log
    from bigtop.web import program

    log.configure("info")
    program.run(spec)


@command.command("login-url")
@click.option("--role", type=click.Choice(ROLES), default=ADMIN, show_default=True)
@click.option("--url", metavar="URL", help="Where the console is, as the browser sees it.")
@_STATE
@click.pass_context
def login_url(context: click.Context, role: str, url: str | None, state: str) -> None:
    """Print a link that logs in once, within a minute."""
    with _store(context, state) as store:
        running = store.running()
        chosen = [name for name, where in running.items() if url in (None, where)] or list(running)
        if len(chosen) != 1:
            there = ", ".join(sorted(running.values()))
            raise ConfigError(
                f"which console? --url says it: {there}" if there else f"no console runs with {store.path}"
            )
        person = Person(getpass.getuser(), role, "link")
        word = links.make(store.secret, chosen[0], person, secrets.token_hex(16), time.time())
        click.echo(f"{(url or running[chosen[0]]).rstrip('/')}/#login={word}")


@command.command("user")
@click.argument("name")
@_ROLE
@click.option("--remove", is_flag=True, help="Forget that user.")
@_STATE
@click.pass_context
def user(context: click.Context, name: str, role: str, remove: bool, state: str) -> None:
    """Add a user, or give one another password or role. The password is asked for, or read from a pipe."""
    with _store(context, state) as store:
        if remove:
            store.remove("users", name)
            return
        if sys.stdin.isatty():
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        else:
            password = sys.stdin.readline().rstrip("\n")
        store.set_user(name, role, password)


@command.command("token")
@click.argument("name")
@_ROLE
@click.option("--remove", is_flag=True, help="Forget that token.")
@_STATE
@click.pass_context
def token(context: click.Context, name: str, role: str, remove: bool, state: str) -> None:
    """Print a new token for a program. It is shown this once."""
    with _store(context, state) as store:
        if remove:
            store.remove("tokens", name)
        else:
            click.echo(store.add_token(name, role))


@command.command("logout")
@_STATE
@click.pass_context
def logout(context: click.Context, state: str) -> None:
    """End all sessions: everybody has to log in again."""
    with _store(context, state) as store:
        store.end_sessions()


@command.command("users")
@_STATE
@click.pass_context
def users(context: click.Context, state: str) -> None:
    """List users and tokens with their roles."""
    with _store(context, state) as store:
        for kind, found in (("user", store.users()), ("token", store.tokens())):
            for name, entry in found.items():
                click.echo(f"{kind:<6} {entry['role']:<8} {name}")


def _store(context: click.Context, state: str) -> closing[Store]:
    given = state or context.obj or ""
    path = os.path.abspath(given) if given else rules.default_state(os.environ, os.geteuid())
    return closing(Store(path))
