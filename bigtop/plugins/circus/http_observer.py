# HttpObserver: asks a URL in turns, and has a watcher start anew that does not answer well.

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from bigtop.plugins.circus.statsd import BaseObserver
from bigtop.plugins.options import OptionError, option

_LARGEST: Final = 1 << 20  # bytes of an answer that are looked at


class HttpObserver(BaseObserver):
    """Asks a URL in turns, tells a statsd server how long that took, and restarts a watcher on errors."""

    name = "http_observer"
    role: ClassVar[str] = "operate"
    default_app_name: ClassVar[str] = "http_observer"

    check_url: str = option("http://localhost/", help="what it asks for", takes="URL")
    timeout: float = option(10.0, help="seconds that an answer may take", minimum=0.01, takes="SECONDS")
    expect: str = option("", help="a text that has to be in the answer")
    restart_on_error: str = option("", help="who is to blame", takes="WATCHER")
    failures: int = option(1, help="errors in a row until then", minimum=1)
    restart_by: Literal["restart", "reload"] = option("restart", help="reload has new processes ready first")

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.failed = 0  # times in a row

    @classmethod
    def lacking(cls, values: Mapping[str, Any]) -> list[OptionError]:
        if str(values.get("check_url", "")).startswith(("http://", "https://")):
            return []
        return [OptionError("check_url", "must begin with http:// or https://")]

    async def look_after(self) -> None:
        start = time.monotonic()
        error = await asyncio.to_thread(self.asked)
        if error is None:
            self.failed = 0
            self.statsd.timed("http_stats.request_time", int((time.monotonic() - start) * 1000))
            return
        self.failed += 1
        self.statsd.increment("http_stats.error")
        self.statsd.increment(f"http_stats.error.{error}")
        if self.restart_on_error and self.failed >= self.failures:
            self.failed = 0
            self.cast(self.restart_by, name=self.restart_on_error)
            self.statsd.increment("http_stats.restart_on_error")

    def asked(self) -> int | None:
        """Ask; return the status of an error, 599 where there is none, or None if all is well."""
        try:
            with urllib.request.urlopen(self.check_url, timeout=self.timeout) as answer:  # noqa: S310 - lacking()
                found = answer.read(_LARGEST)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except (OSError, ValueError):  # ValueError: an answer that is no HTTP
            return 599
        return None if self.expect.encode() in found else 599
