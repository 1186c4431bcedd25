# A configuration file that is read again at HUP, and what can become of a site that runs.
#
# Rule: the file is executed in a process of its own, beside everything else. What is wrong in it changes
# nothing; what cannot be changed without a new start is named in one line and stays.

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Final

from bigtop import log
from bigtop.config.gunicorn import file as files
from bigtop.config.gunicorn.file import Execution
from bigtop.config.serve import options as o
from bigtop.config.serve import serve, site_preflight, sources
from bigtop.config.serve.serve import ServeSpec
from bigtop.config.serve.settings import ConfigFile, ServeConfig
from bigtop.config.serve.sources import Sources
from bigtop.errors import ConfigError
from bigtop.launch.app import App
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.policy.spec import StopPolicy
from bigtop.supervisor.processes import killing
from bigtop.supervisor.processes.child import Process, spawn
from bigtop.supervisor.supervisor import Supervisor

logger = get_logger("bigtop.supervisor")

# What the supervisor did once, or what workers of two generations share.
_FIXED: Final = frozenset(
    option.name
    for option in (
        *(o.BIND, o.BIND_MODE, o.BIND_OWNER, o.BIND_GROUP, o.BACKLOG, o.REUSE_PORT),
        *(o.CHDIR, o.PYTHONPATH, o.ENV, o.INTERFACE, o.BACKEND, o.RELOAD, o.RELOAD_EXTRA_FILE),
        *(o.ERROR_LOGFILE, o.LOG_TIME_ZONE, o.CHECK_CONFIG, o.PRINT_CONFIG, o.CONFIG),
        *(o.NAME, o.USER, o.GROUP, o.UMASK),
        *(o.PID, o.DAEMON, o.CONTROL, o.STATS, o.ADMIN, o.ADMIN_TOKEN_FILE, o.ADMIN_ALLOW),
        *(
            o.ADMIN_HOSTS,
            o.STATSD_HOST,
            o.STATSD_PREFIX,
            o.DOGSTATSD_TAGS,
            o.ENABLE_BACKLOG_METRIC,
            o.OTLP_ENDPOINT,
        ),
    )
)


class Rereading:
    """Event loop only."""

    def __init__(self, sources: Sources, config: ServeConfig) -> None:
        self._sources = sources
        self._config = config

    @property
    def has_file(self) -> bool:
        return bool(self.label)

    @property
    def label(self) -> str:
        found = (self._config.file, self._config.hooks)
        return " and ".join(one.label for one in found if one is not None)

    async def read(self) -> ServeSpec | None:
        """Return what the site is to be, None where no file says so. BigtopError says what is wrong, and
        nothing is changed by that."""
        if not self.has_file:
            return None
        file = await self._executed(self._sources.file()) if self._sources.location else None
        config = self._sources.resolved(file)
        kept = {name: self._config.settings[name] for name in _FIXED}
        late = [name for name in kept if kept[name].value != config.settings[name].value]
        config = replace(config, settings={**config.settings, **kept})
        if (module := sources.hook_module(config)) is not None:
            config = replace(config, hooks=await self._executed(module))
        spec = serve.spec(config)
        site_preflight.check(config, spec)
        for remark in config.remarks:
            logger.warning("%s", remark)
        if late:
            logger.warning(
                "%s: what changed in %s takes a new start of Bigtop", self.label, ", ".join(sorted(late))
            )
        self._config = config
        return spec

    async def _executed(self, wanted: Execution) -> ConfigFile:
        with files.reading(wanted) as (command, answer):
            status = await _executed(files.named(wanted), command, answer, self._config[o.BOOT_TIMEOUT])
            return files.understood(wanted, files.answered(answer), status)


async def _executed(name: str, command: Sequence[str], answer: int, limit: float) -> int:
    """Execute a command that has the descriptor `answer`; return how it ended, negative for a signal.

    ConfigError where that cannot be, or takes more than `limit` seconds; 0 is for ever.
    """
    ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def on_exit(status: ExitStatus) -> None:
        if not ended.done():
            ended.set_result(status)

    try:
        pid = spawn(list(command), os.environ, (answer,), stderr=log.descriptor())
    except OSError as error:
        raise ConfigError(f"{name}: cannot be executed: {error.strerror}") from error
    process = Process(pid, on_exit)
    try:
        async with asyncio.timeout(limit or None):
            status = await ended
    except TimeoutError:
        raise ConfigError(f"{name}: not executed after {limit:g} seconds (--boot-timeout)") from None
    finally:
        killing.process(process, name, "nobody waits for the file any more")
    return status.code if status.code is not None else -(status.signal or 0)


def change(app: App, supervisor: Supervisor, spec: ServeSpec) -> None:
    """Have the site be what `spec` says, as far as no process has to be made anew; workers of the next
    generation are the rest of it."""
    before = app.spec
    if spec.logs != before.logs:
        log.configure(
            spec.logs.level, json=spec.logs.json, path=spec.error_logfile, time_zone=spec.logs.time_zone
        )
    app.become(spec, app.listeners)
    app.pool.describe(app.watcher())
    machine = supervisor.watchers.machine(spec.name)
    described = replace(
        machine.spec,
        stop=StopPolicy(graceful_timeout=spec.graceful_timeout, margin=machine.spec.stop.margin),
        boot_timeout=spec.boot_timeout,
        deploy=spec.deploy,
        scaling=spec.workers.if_any,
        lifetime=spec.retirement.lifetime,
    )
    if described != machine.spec:
        count = machine.numprocesses  # that of `incr` stays
        supervisor.dispatcher.feed(spec.name, messages.Update(replace(described, numprocesses=count)))
        supervisor.scheduler.triggers.weigh()
        supervisor.autoscaling.watch()
    if spec.workers != before.workers and spec.workers.if_any is None:  # with bounds the load says how many
        supervisor.dispatcher.feed(spec.name, messages.Scale(spec.workers.least))
