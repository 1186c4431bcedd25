# RedisObserver: tells a statsd server how a Redis or Valkey is, and has a watcher start anew if that is away.

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from bigtop.plugins.circus.statsd import BaseObserver
from bigtop.plugins.options import OptionError, option


class RedisObserver(BaseObserver):
    """Tells a statsd server the figures of a Redis or Valkey, and restarts a watcher if it is not reached."""

    name = "redis_observer"
    role: ClassVar[str] = "operate"
    default_app_name: ClassVar[str] = "redis_observer"
    OBSERVE: ClassVar[tuple[str, ...]] = (
        *("pubsub_channels", "pubsub_patterns", "connected_slaves", "connected_clients", "blocked_clients"),
        *("lru_clock", "keyspace_hits", "keyspace_misses", "expired_keys", "evicted_keys", "used_memory"),
        *("used_memory_peak", "used_memory_rss", "mem_fragmentation_ratio", "total_commands_processed"),
        *("total_connections_received", "used_cpu_sys", "used_cpu_user", "used_cpu_sys_children"),
        *("client_biggest_input_buf", "client_longest_output_list", "uptime_in_seconds"),
    )

    redis_url: str = option(
        "redis://localhost:6379/0", help="where it is: redis://, rediss://, unix://, valkey://", takes="URL"
    )
    timeout: float = option(5.0, help="seconds that it may take", minimum=0.01, takes="SECONDS")
    restart_on_timeout: str = option("", help="who is to blame", takes="WATCHER")

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        name = library(self.redis_url)
        self._library = importlib.import_module(name)
        url = self.redis_url
        if name == "redis":  # whose library knows the scheme by its own name only
            url = re.sub("^valkey(s?)://", r"redis\1://", url)
        self.redis = self._library.from_url(
            url, socket_timeout=self.timeout, socket_connect_timeout=self.timeout
        )

    @classmethod
    def lacking(cls, values: Mapping[str, Any]) -> list[OptionError]:
        name = library(str(values.get("redis_url", "")))
        if importlib.util.find_spec(name) is None:
            return [OptionError("redis_url", f"needs a library: pip install {name}")]
        return []

    async def look_after(self) -> None:
        try:
            figures = await asyncio.to_thread(self.redis.info)
        except (self._library.ConnectionError, self._library.TimeoutError):
            self.statsd.increment("redis_stats.error")
            if self.restart_on_timeout:
                self.cast("restart", name=self.restart_on_timeout)
                self.statsd.increment("redis_stats.restart_on_error")
            return
        for key in self.OBSERVE:
            if key in figures:  # which there are depends on the server
                self.statsd.gauge(f"redis_stats.{key}", figures[key])


def library(url: str) -> str:
    """Return the package that talks to a server: both speak the same, so what is there serves."""
    first, second = ("valkey", "redis") if url.startswith("valkey") else ("redis", "valkey")
    return second if importlib.util.find_spec(first) is None and importlib.util.find_spec(second) else first
