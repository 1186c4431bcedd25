# Helper watchers: processes of Bigtop's own, described as watchers beside those of users.
#
# Rules: pure. A helper is a Python program that is told all it has to know by its arguments and environment.
# Where the control channel is, stands there as ENDPOINT and EVENTS, until told() says it: the port may have
# been left to the system. What a user described is no helper, even if Bigtop says how it is run (a plugin).

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

from bigtop.record import Record, field, replace
from bigtop.supervisor.policy.spec import (
    Command,
    ExecContext,
    Lifetime,
    RestartPolicy,
    StopPolicy,
    WatcherSpec,
)

ENDPOINT = "<endpoint of the control channel>"
EVENTS = "<endpoint of its events>"


class Helper(Record, kw_only=True):
    """One helper: started before what has a lower `priority`, and started again however it ends."""

    name: str  # by which `bigtop ctl` and the log know it
    module: str  # which Python runs, as python -m does
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)  # besides that of the supervisor
    sockets: tuple[str, ...] = ()  # that it inherits; $(circus.sockets.NAME) is the descriptor
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    stop: StopPolicy = field(default_factory=lambda: StopPolicy(graceful_timeout=5.0))
    priority: int = 1
    user: str | None = None  # None: who the supervisor is
    autostart: bool = True  # False: somebody says when
    hidden: bool = True  # from commands for all watchers: only its name starts and stops it

    def watcher(self, environ: Mapping[str, str]) -> WatcherSpec:
        """Return its description; `environ` is that of the supervisor."""
        context = ExecContext(env=tuple(sorted({**environ, **self.env}.items())), user=self.user)
        return WatcherSpec(
            name=self.name,
            target=python(Command("", context=context), "-P", "-m", self.module, *self.arguments),
            restart=self.restart,
            stop=self.stop,
            sockets=self.sockets,
            priority=self.priority,
            singleton=True,
            hidden=self.hidden,
            lifetime=Lifetime(autostart=self.autostart),
        )


def python(base: Command, *words: str) -> Command:
    """Return the command that runs this Python with `words`, each as it is; the rest is that of `base`."""
    return replace(base, cmd=shlex.quote(sys.executable), args=words, shell=False)


def told(spec: WatcherSpec, endpoint: str, events: str) -> WatcherSpec:
    """Return `spec` with the places of the control channel in its arguments."""
    assert isinstance(spec.target, Command)
    places = {ENDPOINT: endpoint, EVENTS: events}
    args = tuple(places.get(word, word) for word in spec.target.args)
    return replace(spec, target=replace(spec.target, args=args))
