# Emitter of metrics to an OpenTelemetry collector, over OTLP.
#
# Rules: the exporter is OpenTelemetry's, in a thread, and whatever happens to it stops nothing. What is wrong
# is said in one line, once. Headers, certificates and the time between two exports are said by the variables
# of the environment that OpenTelemetry has for them.

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Final

from bigtop.log import logger as get_logger
from bigtop.stats.beside import beside
from bigtop.stats.export import exported
from bigtop.stats.export.consumption import Consumption
from bigtop.stats.export.metrics import Sample
from bigtop.stats.known import Known
from bigtop.stats.processes import procfs
from bigtop.stats.roster import Roster

logger = get_logger("bigtop")

_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"  # milliseconds
_USUAL: Final = 60_000
_LAST_SECONDS: Final = 2.0  # for what is sent at the end


class OtlpEmitter:
    """Event loop only."""

    def __init__(self, endpoint: str, known: Known) -> None:
        self._endpoint = endpoint
        self._known = known
        self._consumption = Consumption()
        self._export: Callable[[list[Sample], Roster], str] | None = None
        self._trouble: str | None = "not tried yet"  # what the log was told last; None: that it goes well

    async def run(self) -> None:
        """Send for ever."""
        interval = _interval()
        while True:
            due = time.monotonic() + interval
            await self._known.learn()
            await self._send()
            await asyncio.sleep(due - time.monotonic())

    async def end(self) -> None:
        """Send what was not sent yet."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._send(), _LAST_SECONDS)

    async def _send(self) -> None:
        roster = self._known.roster
        if not roster.own:
            return
        counted = list(exported.counted(self._known, roster))
        trouble = await beside(lambda: self._exported(counted, roster), "otlp")
        if trouble and trouble != self._trouble:
            logger.warning("metrics do not reach %s: %s", self._endpoint, trouble)
        elif not trouble and self._trouble is not None:
            logger.info("metrics are sent to %s", self._endpoint)
        self._trouble = trouble or None

    def _exported(self, counted: list[Sample], roster: Roster) -> str:
        """Return what is wrong, "" for nothing; in the thread."""
        if self._export is None:
            self._export = _exporter(self._endpoint)
        return self._export([*counted, *self._consumption.look(roster)], roster)


def _exporter(endpoint: str) -> Callable[[list[Sample], Roster], str]:
    # Here: with all that hangs on it, and in the thread, since it takes a while.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import MetricExportResult

    from bigtop.stats.export import otlp

    reasons = _Reasons()
    said = logging.getLogger("opentelemetry")
    said.addHandler(reasons)
    said.propagate = False
    exporter = OTLPMetricExporter(endpoint)

    def export(samples: list[Sample], roster: Roster) -> str:
        reasons.last = ""
        try:
            data = otlp.data(samples, _begun(roster), time.time())
            is_out = exporter.export(data) is MetricExportResult.SUCCESS
        except Exception as error:  # of a library: figures are not worth more than a line
            return f"{type(error).__name__}: {error}"
        return "" if is_out else reasons.last or "refused"

    return export


def _begun(roster: Roster) -> float:
    """Return since when is counted: since the supervisor began, in seconds since the epoch."""
    facts = procfs.facts(roster.own[0][0])
    return time.time() if facts is None else procfs.machine().booted + facts.born * procfs.TICK


class _Reasons(logging.Handler):
    """Keeps what the exporter said last."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage().split("\n")[0]


def _interval() -> float:
    """Return the seconds between two exports."""
    text = os.environ.get(_INTERVAL, "").strip()
    try:
        milliseconds = float(text or _USUAL)
    except ValueError:
        milliseconds = 0
    if not 0 < milliseconds < float("inf"):
        logger.warning("%s must be a number of milliseconds, got %r; it is %d", _INTERVAL, text, _USUAL)
        milliseconds = _USUAL
    return milliseconds / 1000
