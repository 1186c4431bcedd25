# Hosts of the small mode: up to 50 supervisors on other machines, by a list or a file of them.
#
# Rules: there is no hub, nothing is stored, and nobody decides: each is asked by itself. Others than this
# machine are reached with keys, or through ssh, alone.

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bigtop.control import keys
from bigtop.control.client.connection import Identity
from bigtop.errors import ConfigError
from bigtop.record import Record, replace

MOST: Final = 50
PORT: Final = 5555  # of Circus, too
_HOST: Final = re.compile(r"(?:([\w.-]+)=)?(?:tcp://)?(\[[0-9a-fA-F:.]+(?:%\w+)?\]|[\w.-]+)(?::(\d{1,5}))?")


class Host(Record):
    """One supervisor; `name` is what it is called where its answers are shown."""

    name: str
    endpoint: str
    identity: Identity | None = None


def read(text: str) -> tuple[Host, ...]:
    """Return what --hosts says: [NAME=]HOST[:PORT] with commas between, or the path of a file with one in
    each line. ConfigError: there are none, too many, or something that is no host."""
    is_file = "/" in text.replace("tcp://", "")
    found = list(_of_file(Path(text)) if is_file else _of_list(text))
    named = Counter(host.name for host in found)
    # Several of one machine are told apart by their ports.
    found = [
        replace(host, name=host.endpoint.removeprefix("tcp://")) if named[host.name] > 1 else host
        for host in found
    ]
    again = [name for name, count in Counter(host.name for host in found).items() if count > 1]
    where = text if is_file else "--hosts"
    if again:
        raise ConfigError(f"{where}: {again[0]} is there twice")
    if not found:
        raise ConfigError(f"{where}: names no host")
    if len(found) > MOST:
        raise ConfigError(f"{where}: has {len(found)} hosts, {MOST} at most: for more there is a cluster")
    return tuple(found)


def _of_list(text: str) -> Iterator[Host]:
    for word in text.split(","):
        if word := word.strip():
            yield _host(word, "--hosts")


def _of_file(path: Path) -> Iterator[Host]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise ConfigError(f"--hosts: {path}: {why}") from None
    for number, line in enumerate(lines, 1):
        if word := line.partition("#")[0].strip():
            yield _host(word, f"{path}:{number}")


def _host(word: str, where: str) -> Host:
    found = _HOST.fullmatch(word)
    port = PORT if found is None or found[3] is None else int(found[3])
    if found is None or not 0 < port < 65536:
        raise ConfigError(f"{where}: must be [NAME=]HOST[:PORT], got {word!r}")
    name, host = found[1] or found[2].strip("[]"), found[2]
    return Host(name, f"tcp://{host}:{port}")


def with_keys(hosts: Sequence[Host], own: Path, server_key: str) -> tuple[Host, ...]:
    """Return them with keys: `own` is our secret key, `server_key` the public one of all, its file, or a
    folder with NAME.key for each. ConfigError: one of them is missing."""
    folder = Path(server_key)
    if not folder.is_dir():
        return tuple(replace(host, identity=Identity(own, server_key)) for host in hosts)
    return tuple(replace(host, identity=Identity(own, str(_key(folder, host)))) for host in hosts)


def _key(folder: Path, host: Host) -> Path:
    path = folder / (host.name + keys.PUBLIC)
    if not path.exists():
        raise ConfigError(f"--server-key: {path} is missing: the public key of {host.name}")
    return path


def far(hosts: Iterable[Host]) -> list[str]:
    """Return the names of those that are other machines by their address."""
    near = re.compile(r"tcp://(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+")
    return [host.name for host in hosts if not near.fullmatch(host.endpoint)]
