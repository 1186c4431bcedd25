# StatsdEmitter and FullStats: events and figures of watchers to a statsd server; and the base of observers.

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from bigtop.plugins.circus.conversions import human2bytes
from bigtop.plugins.circus.loop import AsyncPeriodicCallback
from bigtop.plugins.circus.plugin import CircusPlugin
from bigtop.plugins.options import option


class StatsdClient:
    """Sends datagrams; what does not arrive is lost, and disturbs nobody."""

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        prefix: str | None = None,
        sample_rate: float = 1,
    ) -> None:
        self.host = host or "localhost"
        self.port = port or 8125
        self.prefix = prefix
        self.sample_rate = sample_rate
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, bucket: str, value: str, sample_rate: float | None = None) -> None:
        rate = sample_rate or self.sample_rate
        start = f"{self.prefix}." if self.prefix else ""
        end = f"|@{rate:g}" if rate != 1 else ""
        with suppress(OSError):
            self.socket.sendto(f"{start}{bucket}:{value}{end}".encode(), (self.host, self.port))

    def increment(self, bucket: str, delta: int = 1) -> None:
        self.send(bucket, f"{delta}|c")

    def decrement(self, bucket: str, delta: int = 1) -> None:
        self.increment(bucket, -abs(delta))

    def gauge(self, bucket: str, value: object) -> None:
        self.send(bucket, f"{value}|g")

    def timed(self, bucket: str, value: object) -> None:
        self.send(bucket, f"{value}|ms")

    def stop(self) -> None:
        self.socket.close()


class Sender(CircusPlugin):
    """What plugins that send to a statsd server have in common."""

    role: ClassVar[str] = "view"
    default_app_name: ClassVar[str] = "app"

    application_name: str = option("", help="what stands in names: circus.NAME.watcher...")
    host: str = option("localhost", help="where the server is", takes="HOST")
    port: int = option(8125, help="its port", minimum=1, maximum=65535, takes="PORT")
    sample_rate: float = option(1.0, help="told beside each count", minimum=0)

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.app = self.application_name or self.default_app_name
        self.prefix = f"circus.{self.app}.watcher"
        self.statsd = StatsdClient(self.host, self.port, self.prefix, self.sample_rate)

    def stop(self) -> None:
        self.statsd.stop()
        super().stop()


class StatsdEmitter(Sender):
    """Counts every event of every watcher at a statsd server."""

    name = "statsd"

    def handle_recv(self, data: Any) -> None:
        watcher, action, _ = self.split_data(data)
        self.statsd.increment(f"{watcher}.{action}")


class BaseObserver(Sender):
    """Base of plugins that look at something in turns: override look_after()."""

    loop_rate: float = option(60.0, help="seconds between two looks", minimum=0.01, takes="SECONDS")

    def handle_init(self) -> None:
        self.period = AsyncPeriodicCallback(self.look_after, self.loop_rate * 1000)
        self.period.start()

    def handle_stop(self) -> None:
        self.period.stop()
        self.statsd.stop()

    def handle_recv(self, data: Any) -> None:
        pass

    def look_after(self) -> Any:
        raise NotImplementedError


class FullStats(BaseObserver):
    """Tells a statsd server what the processes of each watcher use."""

    name = "full_stats"

    def look_after(self) -> None:
        reply = self.call("stats")
        if reply["status"] == "error":
            self.statsd.increment("_stats.error")
            return
        for name, figures in reply["infos"].items():
            if not name.startswith("plugin:"):
                for bucket, value in of_watcher(figures):
                    self.statsd.gauge(f"_stats.{name}.{bucket}", value)


def of_watcher(figures: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield name and value of each gauge of a watcher; processes that are gone have none."""
    processes = [one for one in figures.values() if isinstance(one, dict) and is_known(one)]
    if "spawn_count" in figures:
        yield "spawn_count", figures["spawn_count"]
    yield "watchers_num", len(processes)
    if not processes:
        return
    for bucket, values in (
        ("cpu", [float(one["cpu"]) for one in processes]),
        ("mem_pct", [float(one["mem"]) for one in processes]),
        ("mem", [human2bytes(one["mem_info1"]) for one in processes]),
    ):
        yield f"{bucket}_max", max(values)
        yield f"{bucket}_sum", sum(values)


def is_known(figures: Mapping[str, Any]) -> bool:
    """Say whether there are figures of a process, which may be gone, or be somebody else's to look at."""
    return "N/A" not in (
        figures.get("cpu", "N/A"),
        figures.get("mem", "N/A"),
        figures.get("mem_info1", "N/A"),
    )
