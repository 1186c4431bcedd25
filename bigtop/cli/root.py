# The commands of `bigtop`.
#
# Rule: a command is imported when it is run, so `bigtop --help` and shell completion stay quick.

from __future__ import annotations

import gc
import importlib

import click

from bigtop import __version__, build

# command -> (its module, its line in the help)
COMMANDS = {
    "run": ("bigtop.cli.run", "Run what a configuration file names."),
    "serve": ("bigtop.cli.serve.serve_command", "Serve a WSGI or ASGI application."),
    "ctl": ("bigtop.cli.ctl.ctl", "Control running supervisors."),
    "top": ("bigtop.cli.top", "Show what every process and every request is doing."),
    "web": ("bigtop.cli.web", "Show supervisors in the browser."),
    "cluster": ("bigtop.cli.cluster", "Lead applications on many machines."),
    "worker": ("bigtop.cli.worker", "Serve on an inherited socket, below another supervisor."),
    "backends": ("bigtop.cli.backends", "Show what can answer requests, and how to get it."),
    "check": ("bigtop.cli.check", "Check a configuration file and show what it comes to."),
    "init": ("bigtop.cli.init", "Write what starts Bigtop with the system."),
    "ca": ("bigtop.cli.ca", "Make https trusted on this machine, and certificates for clients."),
    "compress": ("bigtop.cli.compress", "Compress static files once."),
    "convert": ("bigtop.cli.convert", "Turn a configuration of another program into TOML."),
}

_COMPLETION = """\b
Completion of commands and options, for the start-up file of your shell:
  bash  eval "$(_BIGTOP_COMPLETE=bash_source bigtop)"
  zsh   eval "$(_BIGTOP_COMPLETE=zsh_source bigtop)"
  fish  _BIGTOP_COMPLETE=fish_source bigtop | source
"""


class _LazyGroup(click.Group):
    """A group whose commands are imported one at a time. Each module has its command as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        gc.enable()  # which bigtop/__main__.py does without while it imports
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, epilog=_COMPLETION, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"%(prog)s %(version)s, {build.kind()}")
def root() -> None:
    """An application server for WSGI and ASGI with a process and socket manager underneath."""
