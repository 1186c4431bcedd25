# The new file as a whole, put together from sites and watchers.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bigtop.config.convert.notes import no_equal
from bigtop.config.convert.site import SiteDraft
from bigtop.config.convert.watcher import WatcherDraft, unused
from bigtop.config.file.text.expand import with_dollars
from bigtop.config.file.text.tomltext import Literal, Table, page


def written(
    head: Sequence[str],
    sites: Iterable[SiteDraft],
    watchers: Iterable[WatcherDraft] = (),
    *,
    beside: str,
) -> str:
    """Return the text of a file in the folder `beside`. No name is there twice."""
    notes = [*head]
    tables: list[Table] = []
    environments: list[Table] = []
    whole: dict[str, dict[str, Literal]] = {"circus": {}, "stats": {}}
    taken: set[str] = set()
    for site in sites:
        site.name = unused(site.own_name, taken)
        tables += [site.table(beside), *site.path_tables()]
        environments.append(_environment(site.name, site.environ))
        for section, keys in (("circus", site.circus()), ("stats", site.stats())):
            for key, value in keys.items():
                if whole[section].setdefault(key, value) != value:
                    notes.append(no_equal(f"{key} = {value} of {site.name}", "there is one for all"))
    for watcher in watchers:
        watcher.rename(unused(watcher.name, taken))
        tables.append(watcher.table)
        environments.append(_environment(watcher.name, watcher.environ))
    tables += [table for table in environments if table.keys]
    return page(notes, [*(Table((name,), keys) for name, keys in whole.items() if keys), *tables])


def _environment(name: str, variables: Mapping[str, str]) -> Table:
    return Table(("env", name), {key: with_dollars(text) for key, text in variables.items()})
