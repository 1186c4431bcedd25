# A [plugin:NAME] section as a watcher that runs one of Circus' plugins, unchanged.
#
# The plugin's own `main` reads its configuration from one argument, key:value:::key:value; ours is one
# argument however many blanks it holds. The flapping plugin alone is not run: its five keys become those of
# all watchers, since the same is done better where deaths are seen.

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from bigtop.config.file import daemon_options as d
from bigtop.config.file import watcher_options as o
from bigtop.config.file.document import Entry, Problems, Section
from bigtop.config.file.expand import expanded
from bigtop.config.file.key import Values, read
from bigtop.config.file.watchers import FileContext, command, read_watcher, watcher_spec
from bigtop.record import replace
from bigtop.supervisor.policy import helper
from bigtop.supervisor.policy.spec import WatcherSpec

FLAPPING = "circus.plugins.flapping.Flapping"
# What that plugin counts with where its section says nothing.
_FLAPPING_DEFAULTS = {"attempts": "2", "window": "1", "retry_in": "7", "max_retry": "5", "active": "yes"}
_DEFAULTS = {o.PRIORITY: "1", o.SINGLETON: "yes", o.COPY_ENV: "yes", o.COPY_PATH: "yes"}


def is_flapping(section: Section) -> bool:
    return d.USE.name in section.entries and section.entries[d.USE.name].text == FLAPPING


def flapping_defaults(sections: list[Section], problems: Problems) -> dict[str, Entry]:
    """Return the flapping.* keys that a flapping plugin means for all watchers."""
    found: dict[str, Entry] = {}
    for section in filter(is_flapping, sections):
        problems.warn(
            section.place, f"[{section.title}] is not run: Bigtop counts deaths itself, by the same keys"
        )
        for name, default in _FLAPPING_DEFAULTS.items():
            found[f"flapping.{name}"] = section.entries.get(name, Entry((default,), section.place))
    return found


def plugin(section: Section, circus: Values, around: FileContext) -> tuple[Values, WatcherSpec | None]:
    """Read a [plugin:NAME] section; None once there are errors."""
    section = replace(section, kind="", name=section.title)  # as Circus names its watcher
    use = _use(section, circus, around)
    defaults = dict(_DEFAULTS)
    if not circus[d.DEBUG]:
        defaults |= {o.CLOSE_CHILD_STDOUT: "yes", o.CLOSE_CHILD_STDERR: "yes"}
    assumed = {key.name: Entry((text,), section.place) for key, text in defaults.items()}
    entries = {name: entry for name, entry in section.entries.items() if name != d.USE.name}
    values, env = read_watcher(replace(section, entries={**assumed, **entries}), replace(around, defaults={}))
    config = _config(section, {**entries, **section.options}, around)
    base = command(values, env, around.problems)
    target = helper.python(base, *_arguments(circus, config), use)
    return values, watcher_spec(section.name, values, target, around)


def _use(section: Section, circus: Values, around: FileContext) -> str:
    use = read(section, d.PLUGIN, around.problems)[d.USE]
    if not use and d.USE.name not in section.entries:
        around.problems.error(section.place, f"[{section.title}] needs use, the class of the plugin")
    if not (circus[d.ENDPOINT] and circus[d.PUBSUB_ENDPOINT]):
        around.problems.error(
            section.place, f"[{section.title}] needs endpoint and pubsub_endpoint in [{circus.title}]"
        )
    # A plugin imports Circus by itself, in its own process: only ask whether it will find it.
    if importlib.util.find_spec("circus") is None:
        around.problems.warn(section.place, f"[{section.title}] needs Circus: pip install circus")
    return use or ""


def _config(section: Section, entries: Mapping[str, Entry], around: FileContext) -> str:
    environments = around.environments
    pairs = {name: entry.text for name, entry in expanded(entries, environments.everywhere).items()}
    pairs["name"] = section.name
    return ":::".join(f"{name}:{text}" for name, text in sorted(pairs.items()))


def _arguments(circus: Values, config: str) -> tuple[str, ...]:
    words = ["-c", "from circus import plugins;plugins.main()"]
    words += ["--endpoint", helper.ENDPOINT, "--pubsub", helper.EVENTS]
    words += ["--config", config]
    if circus[d.DEBUG] or circus.is_given(d.LOGLEVEL):
        words += ["--log-level", "DEBUG" if circus[d.DEBUG] else circus[d.LOGLEVEL]]
    if circus.is_given(d.LOGOUTPUT):
        words += ["--log-output", circus[d.LOGOUTPUT]]
    return tuple(words)
