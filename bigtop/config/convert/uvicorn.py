# A command line of uvicorn's as a site.

from __future__ import annotations

from collections.abc import Sequence

import click

from bigtop.config.convert.environment import is_read_alike
from bigtop.config.convert.site import SiteDraft
from bigtop.config.gunicorn import flags as gunicorn
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.config.serve import flags, uvicorn
from bigtop.config.serve import options as o
from bigtop.errors import ConfigError


def from_command(site: SiteDraft, argv: Sequence[str], place: str) -> None:
    """Add what a command line says; ConfigError names `place` for what is no flag of uvicorn's."""
    words = uvicorn.translate(_without_env_file(site, list(argv)), site.lacks)
    params = [click.Argument(["app"], required=False), *flags.parameters()]
    command = click.Command(place, params=params, add_help_option=False)
    try:
        context = command.make_context(place, flags.completed(words))
    except click.UsageError as error:
        raise ConfigError(f"{place}: {error.format_message()}") from error
    site.app = context.params["app"] or ""
    site.apply(SETTINGS, *gunicorn.given(context.params))  # flags that are the same as gunicorn's
    for option in o.OPTIONS:
        given = flags.own(context.params, option)
        if given is not None:
            site.put(
                option,
                _each_once(given.texts) if option.many else given.texts[-1],
                f"{given.origin} {given.texts[-1]}",
            )
    if "--no-access-log" not in argv and not site.has(o.ACCESS_LOGFILE):
        site.put(o.ACCESS_LOGFILE, "-", "--access-log")  # which uvicorn has unless told otherwise
    if not site.has(o.BIND):
        site.put(o.BIND, "127.0.0.1:8000", "--host 127.0.0.1 --port 8000")


def _each_once(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return values without repetitions: uvicorn takes the last of `--uds A --uds A`, which are two here."""
    return tuple(dict.fromkeys(texts))


def _without_env_file(site: SiteDraft, argv: list[str]) -> list[str]:
    """Return the words without --env-file, where an env_file does the same."""
    for position, word in enumerate(argv):
        flag, equals, path = word.partition("=")
        if flag == "--env-file" and (equals or position + 1 < len(argv)):
            path, behind = (path, position + 1) if equals else (argv[position + 1], position + 2)
            if is_read_alike(path, dict(pair.split("=", 1) for pair in uvicorn.variables(path))):
                site.env_file = path
                return [*argv[:position], *argv[behind:]]
    return argv
