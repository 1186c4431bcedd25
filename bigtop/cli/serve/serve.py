# `bigtop serve` from its command line to its end, as long as there is nothing that click has to say.
#
# Rule: click is imported for mistakes, help and what is shown, not in order to serve.

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bigtop.config.serve import flags, paste_server, site_preflight
from bigtop.config.serve import options as o
from bigtop.config.serve import serve as config_serve
from bigtop.config.serve.options import DAEMON
from bigtop.config.serve.settings import ServeConfig
from bigtop.config.serve.sources import Sources, gather
from bigtop.errors import ConfigError
from bigtop.system.imports import import_without

if TYPE_CHECKING:
    import socket


def gathered(argv: Sequence[str]) -> Sources | None:
    """Return what a command line and the environment say, None where click has to look at the former: it is
    wrong, it names no application, or something is to be shown."""
    try:
        understood = flags.split(flags.expand(argv))
    except ConfigError:
        return None
    words, params = understood or ([], {})
    app = words[0] if words else os.environ.get("BIGTOP_APP", "")
    if not app or len(words) > 1 or o.CHECK_CONFIG.name in params or o.PRINT_CONFIG.name in params:
        return None
    return gather(app, os.environ, flags.collect(params), by_itself=True)


def import_supervisor() -> None:
    """Import all that a supervisor hangs on; --help does without.

    No connection of a supervisor is encrypted, and OpenSSL takes a tenth of its memory. What else asyncio can
    do and a supervisor does not takes another tenth.
    """
    # These are the defaults of arguments, which asyncio needs when it is imported.
    ends = {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3}
    later: dict[str, dict[str, int]] = {"asyncio.sslproto": {}, "inspect": {}, "subprocess": ends}
    import_without("asyncio", absent="ssl", later=later)
    import bigtop.cli.serve.summary
    import bigtop.launch.serve.rereading
    import bigtop.launch.serve.site  # noqa: F401


def run(sources: Sources, early: tuple[int, socket.socket, int] | None = None) -> int:
    """Do what `sources` say: show it, check it, or serve until told to stop. Returns the exit status.

    `early` is a fork server that had a head start, if there is one."""
    config = sources.read()
    if not config.app:
        import click

        raise click.UsageError("Missing argument 'APP'.")
    spec = config_serve.spec(config)
    if not config[o.PRINT_CONFIG]:
        site_preflight.check(config, spec)
    if config[o.PRINT_CONFIG] or config[o.CHECK_CONFIG]:
        _show(config, spec)
        return 0
    if config[DAEMON]:
        from bigtop.cli.serve.detach import detach

        detach(spec.binds)
    if early is not None:
        from bigtop.workers import head_start

        head_start.expect(early[1], spec.backend or "")
    import_supervisor()
    gc.freeze()  # none of that is ever looked at for garbage
    gc.enable()
    from bigtop.cli.serve.summary import announce
    from bigtop.launch import program
    from bigtop.launch.serve import site
    from bigtop.launch.serve.rereading import Rereading
    from bigtop.supervisor.processes.workers.forkserver import Started

    started = None if early is None else Started(*early)
    with program.nothing_follows():
        return site.serve(spec, announce, Rereading(sources, config), started)


def _show(config: ServeConfig, spec: config_serve.ServeSpec) -> None:
    """Show what was asked for: what is configured, what a check of it finds."""
    import click

    if config[o.PRINT_CONFIG]:
        from bigtop.config.serve import listing

        click.echo(listing.print_config(config))
    if config[o.CHECK_CONFIG]:
        from bigtop.cli.serve.check_config import check_config

        if config[o.PRINT_CONFIG]:
            site_preflight.check(config, spec)
        click.echo(check_config(spec))
        if note := paste_server.advice(spec.app, spec.folder, paste_server.as_flag):
            click.echo(f"bigtop: warning: {note}", err=True)
    for remark in spec.remarks:
        click.echo(f"bigtop: warning: {remark}", err=True)
