# Addresses of control channels: from the name of a site to an endpoint.
#
# A supervisor named NAME has NAME.ctl for commands and NAME.events for events, and NAME.stats where it
# publishes figures: unix sockets in one folder:
# the one that systemd made for a service ($RUNTIME_DIRECTORY; `bigtop init systemd` has it make
# /run/bigtop/NAME), or the user's: $XDG_RUNTIME_DIR/bigtop where that is set, /run/bigtop for root,
# ~/.bigtop/run otherwise. Where that cannot be written to, or the path would be too long, the next one of
# these serves, and a private folder in the temporary one at last: bigtop-UID. Somebody who looks for a name
# looks into all of them.
#
# Rules: a file counts only if somebody answers behind it; a supervisor that was killed leaves its own. A
# folder where others could have put something is not used.

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress

from bigtop.errors import ConfigError

COMMANDS, EVENTS, STATS = ".ctl", ".events", ".stats"
SYSTEM = "/run/bigtop"  # of root, and of services

# struct sockaddr_un has 108 bytes for a path, the last of them a zero.
LONGEST_PATH = 107


class UnreachableError(ConfigError):
    """Nobody answers there. EX_UNAVAILABLE of sysexits(3)."""

    exit_status = 69


def folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder for this user's sockets; it need not exist."""
    return folders(environ)[0]


def folders(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return where sockets may be, the place for those of this process first."""
    found = _own(environ)
    found += [place for place in (SYSTEM,) if place not in found]
    with suppress(OSError):
        found += sorted(place.path for place in os.scandir(SYSTEM) if place.is_dir())
    return found


def _own(environ: Mapping[str, str]) -> list[str]:
    """Return where a supervisor of this user may have its sockets, the best place first."""
    service = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    found = [service] if service else []
    if environ.get("XDG_RUNTIME_DIR"):
        found.append(os.path.join(environ["XDG_RUNTIME_DIR"], "bigtop"))
    home = os.path.join(environ.get("HOME") or "/", ".bigtop", "run")
    found += [SYSTEM, home] if os.geteuid() == 0 else [home]
    return [*found, _private(environ)]


def _private(environ: Mapping[str, str]) -> str:
    return os.path.join(environ.get("TMPDIR") or "/tmp", f"bigtop-{os.geteuid()}")  # noqa: S108 - checked by _make()


def of(name: str, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Return the endpoints, for commands and for events, that a supervisor named `name` takes.

    Makes the folder, for its owner alone.
    """
    if "/" in name or name in (".", ".."):
        raise ConfigError(f"{name!r} cannot be the name of a socket")
    reasons = []
    for place in _own(environ):
        try:
            path = os.path.join(place, name)
            check_length(path + EVENTS)
            _make(place, private=place == _private(environ))
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
        except ConfigError as error:
            reasons.append(str(error))
        else:
            return f"ipc://{path}{COMMANDS}", f"ipc://{path}{EVENTS}"
    raise ConfigError(f"no folder for the control socket: {'; '.join(reasons)}")


def for_others() -> str:
    """Return the folder for sockets of root's that are other users'; OSError where it cannot be."""
    _make(SYSTEM, private=False)
    return SYSTEM


def _make(place: str, *, private: bool) -> None:
    """Make a folder that is there for us, unless it is; OSError where it cannot be, or is not ours alone."""
    if not os.path.isdir(place):
        if not private:
            os.makedirs(os.path.dirname(place), exist_ok=True)
        try:
            os.mkdir(place, 0o755 if place == SYSTEM else 0o700)
        except FileExistsError:
            if not os.path.isdir(place):  # else another one of ours made it in this moment
                raise
    if private and not _is_ours(place):
        raise PermissionError(errno.EPERM, "somebody else made it, or may write to it")
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it may not be written to")


def _is_ours(place: str) -> bool:
    try:
        status = os.lstat(place)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def at(path: str) -> tuple[str, str]:
    """Return the endpoints, for commands and for events, of a supervisor whose socket is at `path`."""
    return f"ipc://{path}", f"ipc://{path.removesuffix(COMMANDS)}{EVENTS}"


def stats_beside(endpoint: str) -> str:
    """Return where figures are published by a supervisor with this unix socket for commands."""
    return endpoint.removesuffix(COMMANDS) + STATS


def running(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return name -> endpoint of the supervisors that answer, and that this user may reach."""
    found: dict[str, str] = {}
    for place in folders(environ):
        if place == _private(environ) and not _is_ours(place):
            continue
        for path in _sockets(place):
            name = os.path.basename(path).removesuffix(COMMANDS)
            if name not in found and answers(path):
                found[name] = f"ipc://{path}"
    return found


def _sockets(place: str) -> list[str]:
    with suppress(OSError):  # the folder of another user's service
        return sorted(one.path for one in os.scandir(place) if one.name.endswith(COMMANDS))
    return []


def resolve(word: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the endpoint that a person means: a name, a path, an endpoint, or the only one there is."""
    word = word or environ.get("BIGTOP_CTL_ENDPOINT") or environ.get("CIRCUSCTL_ENDPOINT")
    if word and "://" in word:
        return word
    if word and "/" in word:
        return "ipc://" + os.path.abspath(word)
    there = running(environ)
    if word:
        if word not in there:
            raise UnreachableError(f"no supervisor named {word!r} runs here; {_listed(there)}")
        return there[word]
    if len(there) != 1:
        raise UnreachableError(f"which supervisor? {_listed(there)}")
    return next(iter(there.values()))


def _listed(there: Mapping[str, str]) -> str:
    if not there:
        return "none was found. --endpoint takes a name, a path or an address such as tcp://127.0.0.1:5555"
    return "there are: " + ", ".join(there)


def check(endpoint: str) -> None:
    """ConfigError: a unix socket cannot be made there."""
    if not endpoint.startswith("ipc://"):
        return
    path = endpoint.removeprefix("ipc://")
    check_length(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ConfigError(f"{endpoint}: there is no directory {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{endpoint}: {folder} may not be written to")
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise ConfigError(f"{endpoint}: there is a file which is no socket")


def check_length(path: str) -> None:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigError(f"{path}: the path of a unix socket has at most {LONGEST_PATH} bytes")


def answers(path: str) -> bool:
    """Say whether somebody accepts connections on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except BlockingIOError:  # its queue of connections is full: somebody is there
            return True
        except OSError:
            return False
    return True
