# Gates of a site: the files that say who is let in, looked for and read before anything starts.
#
# Rule: whatever is accepted here a worker can serve with, unless a file is another one by then.

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from bigtop.backends.serve_options import Gates
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import ServeConfig
from bigtop.errors import ConfigError
from bigtop.http.declarations import APP, Mount
from bigtop.record import replace

_FILE: Final = "file:"


def checked(config: ServeConfig, base: str, gates: Gates) -> Gates:
    """Return the gates with absolute names of files, which count from `base`. ConfigError: one of these says
    nothing."""
    return replace(
        gates,
        allow=_list(config, o.ALLOWED, gates.allow, base),
        deny=_list(config, o.DENIED, gates.deny, base),
        users=_users(config, gates.users, base),
        canonical=_canonical(config, gates.canonical),
        maintenance=gates.maintenance and os.path.join(base, gates.maintenance),
        error_pages=_error_pages(config, base),
    )


def _canonical(config: ServeConfig, rules: tuple[str, ...]) -> tuple[str, ...]:
    if len(whole := [rule for rule in rules if "=" not in rule]) > 1:
        raise _wrong(config, o.CANONICAL_HOST, f"{' and '.join(whole)} cannot both be for all other hosts")
    aliases = {rule.partition("=")[0] for rule in rules if "=" in rule}
    for rule in rules:
        host = rule.rpartition("=")[2].partition(":")[0]
        if host in aliases:
            raise _wrong(config, o.CANONICAL_HOST, f"{host} is an alias, and nobody is redirected to one")
    return rules


def _error_pages(config: ServeConfig, base: str) -> tuple[tuple[int, str], ...]:
    found: dict[int, str] = {}
    for statuses, name in config[o.ERROR_PAGE]:
        path = os.path.join(base, name)
        if not os.path.isfile(path):
            raise _wrong(config, o.ERROR_PAGE, f"there is no file {path}")
        found |= dict.fromkeys(statuses, path)
    return tuple(found.items())


def mounts(config: ServeConfig, option: Option[tuple[Mount, ...]], base: str) -> tuple[Mount, ...]:
    """Return the folders of an option with absolute names. ConfigError: one of them is not there."""
    found = [mount._replace(folder=os.path.join(base, mount.folder)) for mount in config[option]]
    for mount in found:
        if not os.path.isdir(mount.folder):
            raise _wrong(config, option, f"there is no directory {mount.folder}")
    return tuple(found)


def static(config: ServeConfig, base: str) -> tuple[Mount, ...]:
    """Return those of --static, with what is sent where there is no such file."""
    found = mounts(config, o.STATIC, base)
    by_prefix = {mount.prefix: mount for mount in found}
    for prefix, name in config[o.STATIC_FALLBACK]:
        if prefix not in by_prefix:
            raise _wrong(config, o.STATIC_FALLBACK, f"there is no {o.STATIC.flag} {prefix}")
        folder = by_prefix[prefix].folder
        if name != APP and not os.path.isfile(os.path.join(folder, name)):
            raise _wrong(config, o.STATIC_FALLBACK, f"there is no file {os.path.join(folder, name)}")
        by_prefix[prefix] = by_prefix[prefix]._replace(fallback=name)
    return tuple(by_prefix[mount.prefix] for mount in found)


def _list(config: ServeConfig, option: Option[object], texts: tuple[str, ...], base: str) -> tuple[str, ...]:
    found = []
    for text in texts:
        if text.startswith(_FILE):
            from bigtop.http.gates.networks import listed  # few have lists

            path = os.path.join(base, text.removeprefix(_FILE))
            _read(config, option, path, listed)
            text = _FILE + path
        found.append(text)
    return tuple(found)


def _users(config: ServeConfig, path: str, base: str) -> str:
    if not path:
        return path
    from bigtop.http.gates.credentials import users_of
    from bigtop.system import passwords

    path = os.path.join(base, path)
    found: list[str] = []
    _read(config, o.BASIC_AUTH, path, lambda text: found.extend(users_of(text).values()))
    if problem := passwords.lacking(tuple(found)):
        raise _wrong(config, o.BASIC_AUTH, f"{path} {problem}")
    return path


def _read(config: ServeConfig, option: Option[object], path: str, make: Callable[[str], object]) -> None:
    from bigtop.system.files.contents import contents

    try:
        contents(path, make)
    except ValueError as error:
        raise _wrong(config, option, str(error)) from None


def _wrong(config: ServeConfig, option: Option[object], problem: str) -> ConfigError:
    return ConfigError(f"{config.settings[option.name].given.origin}: {problem}")
