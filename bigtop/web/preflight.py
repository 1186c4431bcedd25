# Preflight check of a web console: what it refuses on this machine although its options make sense.
#
# Rule: nothing is started, bound or made. `bigtop check`, `bigtop run` and `bigtop web` all ask here.

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bigtop.control import keys
from bigtop.errors import BigtopError, ConfigError
from bigtop.web import spec as rules
from bigtop.web.access.roles import ROLES
from bigtop.web.spec import Target, WebSpec
from bigtop.web.store import count_of_users

if TYPE_CHECKING:
    from bigtop.cluster.places import Authority

SERVER: Final = "server" + keys.PUBLIC


def problems(spec: WebSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, by the name of the option."""
    users = 0
    try:
        users = count_of_users(state_of(spec))
    except BigtopError as error:
        yield "state", str(error)
    if problem := _unmakeable(state_of(spec)):
        yield "state", problem
    yield from rules.problems(spec, users)
    for target in spec.targets or (Target(""),):
        folder = folder_of(spec, target)
        if folder is not None:
            try:
                _check_keys(folder)
            except ConfigError as error:
                yield "keys", str(error)
    if spec.certfile:
        yield from _certificate(spec)
    if spec.cluster:
        try:
            authority_of(spec)
        except ConfigError as error:
            yield "cluster", str(error)


def authority_of(spec: WebSpec) -> Authority:
    """Return the keys of the cluster that is shown. ConfigError: it is not led from here."""
    try:
        import nats  # noqa: F401 - that it is there

        from bigtop.cluster import places  # few lead a cluster
    except ImportError:
        raise ConfigError("a cluster takes nats-py: pip install 'bigtop[cluster]'") from None
    return places.Authority(places.chosen(spec.cluster, os.environ))


def state_of(spec: WebSpec) -> str:
    return spec.state or rules.default_state(os.environ, os.geteuid())


def _unmakeable(folder: str) -> str:
    """Return why a folder is none and cannot be made, "" if it is there or seems to come."""
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return f"{place}: is no folder"
    is_there = place == os.path.abspath(folder)
    return "" if is_there or os.access(place, os.W_OK | os.X_OK) else f"{place}: may not be written to"


def folder_of(spec: WebSpec, target: Target) -> Path | None:
    """Return where the keys for a supervisor are: in a folder of its name where there is one; None: it is
    reached without."""
    if target.keys:
        return Path(target.keys)
    if not spec.keys or target.endpoint.startswith("ipc://"):
        return None
    own = Path(spec.keys) / (target.name or "-")
    return own if own.is_dir() else Path(spec.keys)


def keys_of(folder: Path) -> dict[str, Path]:
    """Return role -> file, of those that are there."""
    found = {role: folder / (role + keys.SECRET) for role in ROLES}
    return {role: path for role, path in found.items() if path.exists()}


def _check_keys(folder: Path) -> None:
    keys.read(folder / SERVER)
    found = keys_of(folder)
    if not found:
        names = ", ".join(role + keys.SECRET for role in ROLES)
        raise ConfigError(f"{folder}: one of these is needed: {names} (bigtop ctl keygen)")
    for path in found.values():
        keys.read_secret(path)


def _certificate(spec: WebSpec) -> Iterator[tuple[str, str]]:
    from bigtop.web import encryption  # with OpenSSL, for those who encrypt

    try:
        encryption.contexts(spec.certfile, spec.keyfile)
    except ConfigError as error:
        yield "certfile", str(error)


_FLAGS: Final = {"hosts": "--host", "proxies": "--trusted-proxies"}


def check(spec: WebSpec) -> None:
    """ConfigError: one line for each problem, which names the flag."""
    found = [f"{_FLAGS.get(option, f'--{option}')}: {problem}" for option, problem in problems(spec)]
    if found:
        raise ConfigError("\n".join(found))
