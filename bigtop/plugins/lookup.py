# Lookup of a plugin's class: by a name of Bigtop's own, of an entry point, or of Python.
#
# Rules: what Circus brings is found here under Circus' names, mended, whether Circus is installed or not.
# Only a process of a plugin looks: in the supervisor nothing of others is imported.

from __future__ import annotations

import importlib
from typing import Final

from bigtop.errors import ConfigError
from bigtop.plugins.circus import finder
from bigtop.plugins.orders import PROGRAM

GROUP: Final = "bigtop.plugins"  # of entry points

BUILTINS: Final = {
    PROGRAM: "bigtop.plugins.builtin.program:Program",
    "autoscale": "bigtop.plugins.builtin.autoscale:AutoScale",
    "event_log": "bigtop.plugins.builtin.event_log:EventLog",
    "notify": "bigtop.plugins.builtin.notify:Notify",
}
# Circus' own, mended.
OF_CIRCUS: Final = {
    f"circus.plugins.{module}.{name}": f"bigtop.plugins.circus.{module}:{name}"
    for module, name in (
        ("command_reloader", "CommandReloader"),
        ("flapping", "Flapping"),
        ("http_observer", "HttpObserver"),
        ("redis_observer", "RedisObserver"),
        ("resource_watcher", "ResourceWatcher"),
        ("statsd", "FullStats"),
        ("statsd", "StatsdEmitter"),
        ("watchdog", "WatchDog"),
    )
}


def find(use: str) -> type:
    """Return the class that `use` names; ConfigError: there is none. What its module raises goes through."""
    target = BUILTINS.get(use) or OF_CIRCUS.get(use) or _entry_point(use) or use
    module, _, name = target.partition(":") if ":" in target else target.rpartition(".")
    if not module:
        names = ", ".join(sorted(set(BUILTINS) - {PROGRAM}))
        raise ConfigError(f"there is no plugin {use!r}; Bigtop has {names}; others are package.module.Class")
    finder.install()
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"there is no module {error.name}") from None
    kind = vars(found).get(name)
    if not isinstance(kind, type):
        raise ConfigError(f"{module} has no class {name}")
    return kind


def _entry_point(name: str) -> str | None:
    if "." in name or ":" in name:
        return None
    from importlib.metadata import entry_points

    return next((point.value for point in entry_points(group=GROUP, name=name)), None)
