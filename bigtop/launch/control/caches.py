# Caches of applications, for who asks over the control channel: what they hold, and what is forgotten.
#
# An arena is mapped as long as that takes: the supervisor needs nothing of it by itself.

from __future__ import annotations

from collections.abc import Mapping

from bigtop.errors import CommandError
from bigtop.http.cache.kept import is_purged, url_of
from bigtop.launch.app import App


def facts(name: str, app: App) -> Mapping[str, object] | None:
    """Return the figures of an application's cache, None where it has none."""
    if app.arena is None:
        return None
    from bigtop.ipc.cache_layout import totals_of  # for those who have one

    totals = totals_of(app.arena)
    counts = {what.name.lower(): number for what, number in totals.counts.items()}
    return {"watcher": name, "bytes": totals.used, "size": totals.size, **counts}


def purge(app: App, url: str | None) -> int | None:
    """Forget what is meant (is_purged), None: everything; return how many answers there were, None where
    there is no cache. CommandError: that cannot be done now."""
    if app.arena is None:
        return None
    from bigtop.ipc.cache_arena import Arena

    arena = Arena(app.arena)
    try:
        if url is None:
            return arena.purge()
        wanted = url
        return arena.purge(lambda record: is_purged(url_of(record), wanted))
    except TimeoutError as error:
        raise CommandError(f"{error}: a worker may be stopped in the middle of it") from error
