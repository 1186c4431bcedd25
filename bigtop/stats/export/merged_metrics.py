# Metrics that applications count with prometheus_client, added up over their workers, as text or protobuf.
#
# Rules: the files are those of the application's user, who may have put anything there. Only plain files are
# read, in a thread, and whatever comes of them costs no more than these metrics: those of Bigtop are there
# all the same. Each sample gets the label `app`; one that has such a label keeps it as `exported_app`, which
# is what Prometheus itself makes of it.

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from bigtop.log import logger as get_logger
from bigtop.stats.export import protobuf
from bigtop.stats.export.exposition import Format
from bigtop.stats.export.metrics import METRICS

logger = get_logger("bigtop")

_LARGEST = 64 << 20  # bytes of one file
_MOST = 4096  # files of one application
_ROOM = 256 << 20  # bytes that these take
_OURS = frozenset(metric.name for metric in METRICS)


class MergedMetrics:
    """One thread at a time."""

    def __init__(self) -> None:
        self._told: set[str] = set()  # troubles that the log has

    def rendered(self, folders: Mapping[str, str], form: Format) -> bytes:
        """Return the metrics of applications, whose folders are given by their names; in OpenMetrics with the
        line that ends all."""
        if folders:
            try:
                found = {app: paths for app, folder in folders.items() if (paths := _files(folder))}
                if found:
                    return _rendered(found, form)
            except ImportError:
                self._tell("prometheus_client is not installed where Bigtop is")
            except Exception as error:  # the files may hold anything
                self._tell(f"{type(error).__name__}: {error}")
        return b"# EOF\n" if form is Format.OPENMETRICS else b""

    def _tell(self, trouble: str) -> None:
        if trouble not in self._told:
            self._told.add(trouble)
            logger.warning("metrics of applications are missing in /metrics: %s", trouble)


def _files(folder: str) -> list[str]:
    """Return those that may be read. ValueError: an application has too much there."""
    found: list[str] = []
    taken = 0
    try:
        entries = os.scandir(folder) if not os.path.islink(folder) else None
    except OSError:
        entries = None
    if entries is None:  # nobody has counted anything yet
        return found
    with entries:
        for entry in entries:
            if entry.name.endswith(".db") and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # a gauge of a worker that is gone since
                    facts = entry.stat(follow_symlinks=False)
                    taken += facts.st_blocks * 512
                    if 0 < facts.st_size <= _LARGEST:
                        found.append(entry.path)
            if len(found) > _MOST or taken > _ROOM:
                raise ValueError(f"{folder} holds more than {_MOST} files or {_ROOM >> 20} MiB")
    return found


class _Collected:
    """What prometheus_client's writers take for a registry."""

    def __init__(self, families: Iterable[Any]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Any]:
        return self._families


def _rendered(files: Mapping[str, list[str]], form: Format) -> bytes:
    from prometheus_client import exposition  # here: applications need not have it
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.openmetrics import exposition as openmetrics

    families: dict[str, Any] = {}
    for app, paths in files.items():
        for family in MultiProcessCollector.merge(sorted(paths)):
            family.samples = [
                sample._replace(labels=_labels(app, sample.labels)) for sample in family.samples
            ]
            first = families.setdefault(family.name, family)
            if family.name not in _OURS and first is not family and first.type == family.type:
                first.samples += family.samples
    collected: Any = _Collected(family for name, family in families.items() if name not in _OURS)
    if form is Format.PROTOBUF:
        return protobuf.render_collected(collected.collect())
    writer = openmetrics if form is Format.OPENMETRICS else exposition
    return bytes(writer.generate_latest(collected))


def _labels(app: str, labels: Mapping[str, str]) -> dict[str, str]:
    kept = {("exported_app" if name == "app" else name): value for name, value in labels.items()}
    return {"app": app, **kept}
