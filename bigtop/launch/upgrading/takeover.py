# Takeover: a process that was started to go on for another version of Bigtop, or to say whether it could.
#
# Rules: until done() nothing is changed that the other version could not go on with; whatever fails before
# that leads back to it (trampoline.py). A probe reads everything, answers and ends.

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, Final, NoReturn, Protocol, cast

import bigtop
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.serve.serve import ServeSpec
from bigtop.errors import BigtopError, ConfigError
from bigtop.ipc import snapshot
from bigtop.ipc.snapshot import SnapshotError
from bigtop.launch.upgrading import snapshots
from bigtop.launch.upgrading.standing import Standing
from bigtop.launch.upgrading.upgrade import VARIABLE, Attempts, Origin
from bigtop.log import logger as get_logger

logger = get_logger("bigtop.supervisor")

_KINDS: Final = ("probe", "over", "back")


class Takeover:
    """What is taken over: `state`, of the version `before`."""

    def __init__(self, state: Any, order: Any, origin: Origin, failed: str | None) -> None:
        self.state = state
        self.origin = origin
        self.attempts = Attempts(order["attempts"], failed or "")
        self._before: str = order["version"]
        self._failed = failed
        self._is_done = False

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Go back to the other version if anything fails inside, before it is done."""
        try:
            yield
        except BaseException as error:  # whatever it is, the old version goes on
            if not self._is_done:
                _go_back(f"it cannot take over: {type(error).__name__}: {error}")
            raise

    def done(self) -> None:
        """From now on there is no way back."""
        self._is_done = True
        signal.alarm(0)
        way = _way_back()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if way is not None:
            way.close()
        if self._failed is None:
            logger.info("upgrade: version %s has taken over from %s", bigtop.__version__, self._before)
        else:
            logger.error(
                "upgrade: the new version failed, and %s goes on: %s", bigtop.__version__, self._failed
            )


def asked(
    environ: MutableMapping[str, str], classes: Iterable[type], check: Callable[[Any], None]
) -> Takeover:
    """Return what this process is to take over. A probe ends here, and so does who fails.

    `check` raises SnapshotError or a BigtopError for a state that is of no use here.
    """
    kind, _, rest = environ.pop(VARIABLE, "").partition(":")
    fd, _, more = rest.partition(":")
    if kind not in _KINDS or not fd.isdecimal():
        raise ConfigError(f"{VARIABLE} is for Bigtop's own use")
    try:
        order, state = snapshot.opened(int(fd), snapshot.known((Origin, *classes)))
        check(state)
    except (SnapshotError, BigtopError) as error:
        if kind == "probe":
            print(f"bigtop: {error}", file=sys.stderr)
            sys.exit(1)
        _go_back(str(error))
    if kind == "probe":
        _answer(int(more))
    os.close(int(fd))
    origin = snapshot.read(order["origin"], snapshot.known((Origin,)))
    return Takeover(state, order, origin, more if kind == "back" else None)


def of_site(spec: ServeSpec) -> Standing:
    """Return what this process takes over as a site; a probe ends here, and so does who fails."""
    from bigtop.launch.upgrading import file_classes

    def check(state: Any) -> None:
        if not isinstance(state, snapshots.SiteState) or state.name != spec.name:
            raise SnapshotError(f"what runs is not the site {spec.name}")

    return _standing(asked(os.environ, (*snapshots.OF_SITE, *file_classes.OF_HELPERS), check))


def of_daemon(spec: DaemonSpec) -> Standing:
    """The same for what a file describes."""
    from bigtop.launch.upgrading import file_classes, upgrade_changes

    def check(state: Any) -> None:
        if not isinstance(state, snapshots.DaemonState):
            raise SnapshotError("what runs was not started from a file")
        upgrade_changes.check_daemon(spec, state)

    return _standing(asked(os.environ, file_classes.OF_DAEMON, check))


def _standing(taken: Takeover) -> Standing:
    state = taken.state
    lock = None if state.pidfile is None else state.pidfile.number
    return Standing(taken.origin, taken, lock, others=set(state.others))


def _answer(fd: int) -> NoReturn:
    found = {
        "version": bigtop.__version__,
        "package": os.path.realpath(os.path.dirname(bigtop.__file__)),
        "python": sys.executable,
        "path": sys.path,
    }
    os.write(fd, json.dumps(found).encode())
    sys.exit(0)


class _WayBack(Protocol):
    """What stands behind SIGALRM (trampoline.py)."""

    def __call__(self, number: int, frame: object, reason: str) -> NoReturn: ...

    def close(self) -> None: ...


def _way_back() -> _WayBack | None:
    way: object = signal.getsignal(signal.SIGALRM)
    return cast(_WayBack, way) if callable(way) and way is not signal.default_int_handler else None


def _go_back(reason: str) -> None:
    way = _way_back()
    if way is not None:
        way(signal.SIGALRM, None, reason)
