# Set-up of a site: what is bound, kept and said before it starts.

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bigtop import sockets
from bigtop.backends import catalogue, registry
from bigtop.config.serve import paste_server
from bigtop.config.serve.serve import ServeSpec
from bigtop.control import addresses
from bigtop.errors import BigtopError
from bigtop.launch import certificates, listener_states
from bigtop.launch.upgrading import fd_store, upgrade
from bigtop.launch.upgrading.fd_store import FdStore
from bigtop.launch.upgrading.standing import Standing
from bigtop.log import logger as get_logger
from bigtop.sockets import ListeningSocket, SocketSpec
from bigtop.supervisor.policy import messages
from bigtop.system import activation

if TYPE_CHECKING:
    from bigtop.launch.control.channel import Channel, ChannelState
    from bigtop.launch.control.controlled import Program
    from bigtop.launch.keeper import Keeper
    from bigtop.launch.upgrading.snapshots import SiteState

logger = get_logger("bigtop.supervisor")

_FIRST = "0"  # under its name all sockets of a site are kept


def standing(spec: ServeSpec) -> Standing:
    """Return how this process stands; a probe ends here."""
    if upgrade.VARIABLE not in os.environ:
        return Standing(upgrade.origin())
    from bigtop.launch.upgrading import takeover  # of no use to all others

    return takeover.of_site(spec)


def channel(program: Program, spec: ServeSpec, before: ChannelState | None) -> Channel | None:
    """Let `bigtop ctl` in. A site serves without, unless a place was named."""
    where = spec.control
    if where == "off" and before is None:
        return None
    from bigtop.launch.control.channel import Channel  # of no use to those who want none

    made = Channel(program, before)
    try:
        pair = _places(spec.name, where)
        made.open(*pair, asked_by="--control")
    except BigtopError as error:
        if where != "auto":
            raise
        logger.warning(
            "no control channel: %s (another --name, or --control PATH, gives this site a place; "
            "--control off does without)",
            error,
        )
    return made


def _places(name: str, control: str) -> tuple[str, str]:
    """Return those for commands and for events, or twice "off": nobody is let in, but by another version."""
    if control == "off":
        return control, control
    return addresses.of(name) if control == "auto" else addresses.at(control)


def listeners(spec: ServeSpec, state: SiteState | None) -> list[ListeningSocket]:
    """Return those that another version had, or that were passed on, or that can be bound now."""
    if state is not None:
        resumed = [listener_states.resumed(one) for one in state.listeners]
        if state.binds and state.binds != tuple(spec.binds):
            stay = ", ".join(listener.address() for listener in resumed)
            logger.warning("--bind: what changed there takes a restart; after this upgrade it stays %s", stay)
        return resumed
    binds = _described(spec)
    found = fd_store.found(os.environ, binds)
    passed = activation.activated(os.environ)
    if not passed and found.keys() == binds.keys():
        return found[_FIRST]
    for one in (listener for every in found.values() for listener in every):
        one.close()  # an option has changed, and with it what they are to be
    if not passed:
        return sockets.bind_all(spec.binds)
    logger.info("the sockets are those that were passed on (LISTEN_FDS): --bind has no effect")
    certificates.mark(passed, spec)
    return passed


def take_workers(feed: Callable[[messages.Event], None], spec: ServeSpec, state: SiteState) -> None:
    """Have as many workers as are asked for by now, unless that is what was asked for before: then the number
    is somebody else's, of `incr` or the load."""
    if state.workers and state.workers != str(spec.workers):
        logger.info("--workers: %s by now", spec.workers)
        machine = next(one.machine for one in state.supervisor.watchers if one.machine.name == spec.name)
        feed(messages.Scale(spec.workers.nearest(machine.numprocesses)))


def keep(store: FdStore, spec: ServeSpec, bound: Sequence[ListeningSocket]) -> None:
    """Have the service manager keep sockets that are not its own."""
    if all(listener.spec.fd is None for listener in bound):
        binds = _described(spec)
        store.keep(binds, {name: bound if name == _FIRST else () for name in binds})


def _described(spec: ServeSpec) -> dict[str, SocketSpec]:
    """Return by name what has to be as before, so that kept sockets are those that are wanted."""
    return {str(number): bind for number, bind in enumerate(spec.binds)}


def kept(spec: ServeSpec, state: SiteState | None) -> contextlib.AbstractContextManager[Keeper | None]:
    if spec.tls.acme is None:
        return contextlib.nullcontext()
    from bigtop.launch.keeper import Keeper  # of no use to those who want none

    before: Any = None if state is None else state.keeper
    return contextlib.closing(Keeper(spec.tls.acme, spec.tls.auto, before))


def tell_notes(spec: ServeSpec) -> None:
    """Say what is not as somebody may expect."""
    for remark in spec.remarks:
        logger.warning("%s", remark)
    if spec.backend and (note := registry.unheeded(registry.load(spec.backend), spec.options)):
        logger.warning("%s", note)
    if note := catalogue.explain(spec.backend or ""):
        logger.info("%s", note)
    if note := paste_server.advice(spec.app, spec.folder, paste_server.as_flag):
        logger.warning("%s", note)
