# The supervisors that one `bigtop ctl` speaks to, and how a command's end becomes an exit status.
#
# Rule: the statuses are an interface, listed in docs/reference/control.md. With several supervisors the
# highest one counts.

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from bigtop.cli.ctl import ctl_show
from bigtop.control.client.client import Client, Event, Events, Identity, NoReplyError, RefusedError, Tunnel
from bigtop.control.protocol import Errno
from bigtop.errors import BigtopError
from bigtop.record import Record

if TYPE_CHECKING:
    from bigtop.cli.ctl.ctl_cluster import Nodes
    from bigtop.control.client.hosts import Host

REFUSED = 1
NOT_ACTIVE = 3
NOT_ALLOWED = 77  # EX_NOPERM

_DEPLOYS = ("reload", "rollback")
# Events of a deploy, and how each is told.
_STEPS: Mapping[str, str] = {
    "verify": "generation {generation}: {step} begins",
    "passed": "generation {generation} passed its {step}: {how}",
    "reload": "every process is of generation {generation}",
    "reload_failed": "generation {generation} cannot run, {kept} goes on",
}
OVERTAKEN = 100  # events at most that are shown after the reply: others may go on without end
_LASTING = ("stack", "profile")  # as long as the process they ask, or as long as they are told


class Target(Record):
    """What the options before the command say. `timeout` None: 5 s, without limit for what waits. Of `hosts`
    the endpoints are their names."""

    endpoints: tuple[str | None, ...]
    timeout: float | None = None
    as_json: bool = False
    identity: Identity | None = None
    tunnel: Tunnel | None = None
    nodes: Nodes | None = None  # of a cluster, in place of endpoints
    hosts: tuple[Host, ...] = ()

    def client(self, endpoint: str | None, *, waits: bool = False) -> Client:
        timeout = self.timeout if self.timeout is not None else None if waits else 5.0
        for host in self.hosts:
            if host.name == endpoint:
                return Client(host.endpoint, timeout=timeout, identity=host.identity, tunnel=self.tunnel)
        return Client(endpoint, timeout=timeout, identity=self.identity, tunnel=self.tunnel)

    def run(
        self,
        word: str,
        properties: dict[str, Any],
        use: Callable[[Mapping[str, Any]], None] = lambda _reply: None,
    ) -> int:
        """Send a command to each supervisor, `use` and print the replies, return the exit status."""
        if self.nodes is not None:
            from bigtop.cli.ctl import ctl_cluster  # few lead a cluster

            return ctl_cluster.run(self.nodes, word, properties, self.timeout, as_json=self.as_json)

        def run_one(endpoint: str | None) -> tuple[int, dict[str, Any], str]:
            return self._run_one(endpoint, word, properties, use)

        if not self.hosts:
            return max(self._told(endpoint, *run_one(endpoint)) for endpoint in self.endpoints)
        from concurrent.futures import ThreadPoolExecutor  # one that is away holds up no other one

        with ThreadPoolExecutor(len(self.hosts)) as at_once:
            done = zip(self.endpoints, at_once.map(run_one, self.endpoints), strict=True)
            return max(self._told(endpoint, *one) for endpoint, one in done)

    def _run_one(
        self,
        endpoint: str | None,
        word: str,
        properties: dict[str, Any],
        use: Callable[[Mapping[str, Any]], None],
    ) -> tuple[int, dict[str, Any], str]:
        """Return the exit status, the reply, and what a person reads of it."""
        waits = bool(properties.get("waiting"))
        lasts = waits or word in _LASTING
        try:
            with self.client(endpoint, waits=lasts) as client, self._progress(client, word, properties):
                reply = client.call(word, **properties)
            use(reply)
        except RefusedError as error:
            status = NOT_ALLOWED if error.errno is Errno.NOT_ALLOWED else REFUSED
            return status, {"status": "error", "reason": str(error), "errno": int(error.errno)}, ""
        except BigtopError as error:
            return error.exit_status, {"status": "error", "reason": str(error), "errno": None}, ""
        named = word == "status" and "statuses" not in reply
        status = NOT_ACTIVE if named and reply["status"] != "active" else 0
        return status, reply, ctl_show.reply(word, reply)

    def _told(self, endpoint: str | None, status: int, reply: dict[str, Any], text: str) -> int:
        several = len(self.endpoints) > 1
        if self.as_json:
            click.echo(json.dumps({"endpoint": endpoint, **reply} if several else reply))
        elif reply.get("status") == "error" and "reason" in reply:
            where = f"{endpoint}: " if several else ""
            click.echo(f"bigtop: {where}{reply['reason']}", err=True)
        else:
            click.echo(f"{endpoint}:\n{text}" if several else text)
        return status

    def _progress(
        self, client: Client, word: str, properties: dict[str, Any]
    ) -> AbstractContextManager[object]:
        in_full = sys.stderr.isatty()
        if not properties.get("waiting") or self.as_json or not (in_full or word in _DEPLOYS):
            return nullcontext()
        return Progress(client, str(properties.get("name") or ""), in_full=in_full)

    def words(self, command: str, **properties: object) -> Sequence[str]:
        """Ask for words to complete with; nothing where nobody answers."""
        try:
            with self.client(self.endpoints[0]) as client:
                if self.timeout is None:
                    client.timeout = 1.0
                reply = client.call(command, **properties)
        except (BigtopError, NoReplyError):
            return []
        found: Iterable[object] = reply.get("watchers") or reply.get("pids") or reply.get("options") or ()
        return [str(word) for word in found]

    def processes(self) -> Sequence[str]:
        """Return what `stack` and `profile` may be asked for: processes, and requests that run."""
        found: list[str] = []
        try:
            with self.client(self.endpoints[0]) as client:
                client.timeout = self.timeout if self.timeout is not None else 1.0
                for name, processes in client.call("stats")["infos"].items():
                    found += (f"{name}/{one['wid']}" for one in processes.values() if "wid" in one)
                found += (row["id"] for row in client.call("requests")["requests"] if row["id"])
        except (BigtopError, NoReplyError):
            return found
        return found


class Progress:
    """Says on stderr what happens while a command is waited for: to processes as well if `in_full`, else how
    a deploy goes."""

    def __init__(self, client: Client, name: str, *, in_full: bool) -> None:
        self._in_full = in_full
        # A pattern is no topic: what happens to others meanwhile is shown, too.
        topic = f"watcher.{name.lower()}." if name.isidentifier() else "watcher."
        self._events: Events = client.events(topic, timeout=0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _show(self) -> None:
        with self._events as events:
            for event in self._until_over(events):
                if self._in_full or event.name in _STEPS:
                    click.echo(progress_line(event), err=True)

    def _until_over(self, events: Events) -> Iterator[Event]:
        """Yield events until the command is over, and those that its reply overtook on the other socket."""
        while not self._over.is_set():
            for event in events:
                yield event
                if self._over.is_set():
                    break
        yield from islice(events, OVERTAKEN)


def progress_line(event: Event) -> str:
    if (template := _STEPS.get(event.name)) is not None:
        return f"  {event.watcher}: {template.format_map(event.payload)}"
    pid = event.payload.get("process_pid")
    return f"  {event.watcher}: {event.name}" + (f" {pid}" if pid is not None else "")
