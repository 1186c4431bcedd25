# Writer of a dashboard for Grafana and of alert rules for Prometheus, from the table of metrics:
# python examples/monitoring/generate.py [FOLDER]
#
# Rule: names of metrics come from bigtop/stats/export/metrics.py. A test compares the files with what this
# writes, and every name in them with a real scrape.

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bigtop.stats.export import metrics as m
from bigtop.stats.export.metrics import Kind, Metric

HERE = Path(__file__).resolve().parent
_OF_APP, _OF_WATCHER = '{app=~"$app"}', '{watcher=~"$watcher"}'
_BUCKETS = f"{m.REQUEST_DURATION.name}_bucket"
_OF_ROUTES = f"sum by (app, http_route, le) (rate({m.ROUTE_DURATION.name}_bucket{_OF_APP}[$__rate_interval]))"
_SOURCE = {"type": "prometheus", "uid": "${source}"}


class Line(NamedTuple):
    """A curve: an expression, and what its series are called."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A picture; `unit` is Grafana's name of one."""

    title: str
    text: str
    unit: str
    lines: Sequence[Line]
    kind: str = "timeseries"


def series(metric: Metric) -> str:
    """Return the name of a metric's samples."""
    return metric.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(metric.kind, "")


def _rate(metric: Metric, labels: str, by: str) -> str:
    return f"sum by ({by}) (rate({series(metric)}{labels}[$__rate_interval]))"


def _now(metric: Metric, labels: str, by: str) -> str:
    return f"sum by ({by}) ({series(metric)}{labels})"


def _quantiles(metric: Metric) -> list[Line]:
    buckets = f"sum by (app, le) (rate({metric.name}_bucket{_OF_APP}[$__rate_interval]))"
    return [
        Line(f"histogram_quantile({share}, {buckets})", f"{{{{app}}}} {name}")
        for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
    ]


def _errors(window: str, labels: str = "") -> str:
    """Return the share of requests that were answered with 500 or more."""
    failed = labels.replace("}", ',status="5xx"}') if labels else '{status="5xx"}'
    bad = f"sum by (app) (rate({series(m.REQUESTS)}{failed}[{window}]))"
    return f"{bad} / sum by (app) (rate({series(m.REQUESTS)}{labels}[{window}]))"


ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    (
        "Requests",
        (
            Panel(
                "Requests",
                "Answered, by class of status.",
                "reqps",
                [Line(_rate(m.REQUESTS, _OF_APP, "app, status"), "{{app}} {{status}}")],
            ),
            Panel(
                "Errors",
                "Share of requests answered with 500 or more.",
                "percentunit",
                [Line(_errors("$__rate_interval", _OF_APP), "{{app}}")],
            ),
            Panel(
                "Duration",
                "From the call of the application until the answer was out.",
                "s",
                _quantiles(m.REQUEST_DURATION),
            ),
            Panel(
                "Duration, all requests",
                "How many took how long.",
                "s",
                [
                    Line(f"sum by (le) (increase({_BUCKETS}{_OF_APP}[$__rate_interval]))", "{{le}}"),
                ],
                "heatmap",
            ),
            Panel(
                "Duration by route",
                "99 of 100 took no longer; by pattern, of Django, Flask, Starlette and FastAPI.",
                "s",
                [Line(f"histogram_quantile(0.99, {_OF_ROUTES})", "{{app}} {{http_route}}")],
            ),
            Panel(
                "Errors by route",
                "Requests answered with 500 or more.",
                "reqps",
                [Line(_rate(m.ROUTE_ERRORS, _OF_APP, "app, http_route"), "{{app}} {{http_route}}")],
            ),
        ),
    ),
    (
        "Room",
        (
            Panel(
                "Time before the call",
                "From the arrival of a request until the application was called; of native WSGI workers.",
                "s",
                _quantiles(m.QUEUE),
            ),
            Panel(
                "Requests in progress",
                "Inside the application, and waiting for a place.",
                "short",
                [
                    Line(_now(m.ACTIVE_REQUESTS, _OF_APP, "app"), "{{app}} in calls"),
                    Line(_now(m.WAITING_REQUESTS, _OF_APP, "app"), "{{app}} waiting"),
                ],
            ),
            Panel(
                "Places that are taken",
                "By calls of the application, of all that workers and their threads have.",
                "percentunit",
                [Line(f"avg by (app) ({series(m.BUSY_RATIO)}{_OF_APP})", "{{app}}")],
            ),
            Panel(
                "Interrupted requests",
                "Past their time limit; they count as answered with 5xx.",
                "reqps",
                [Line(_rate(m.INTERRUPTED, _OF_APP, "app"), "{{app}}")],
            ),
            Panel(
                "Calls at a time",
                "Seconds inside the application per second: how many threads that takes.",
                "short",
                [Line(_rate(m.CALL, _OF_APP, "app"), "{{app}}")],
            ),
            Panel(
                "Connections",
                "Accepted by workers, and handed on between them.",
                "cps",
                [
                    Line(_rate(m.ACCEPTED, _OF_APP, "app"), "{{app}} accepted"),
                    Line(_rate(m.HANDED_OFF, _OF_APP, "app"), "{{app}} handed off"),
                ],
            ),
            Panel(
                "Bytes",
                "From clients, and to them.",
                "Bps",
                [
                    Line(_rate(m.RECEIVED, _OF_APP, "app"), "{{app}} received"),
                    Line(_rate(m.SENT, _OF_APP, "app"), "{{app}} sent"),
                ],
            ),
            Panel("Workers", "That run.", "short", [Line(_now(m.WORKERS, _OF_APP, "app"), "{{app}}")]),
        ),
    ),
    (
        "Cache of answers",
        (
            Panel(
                "Answers by the cache",
                "And requests that went to the application: missed, or not for a cache.",
                "reqps",
                [Line(_rate(m.CACHE_REQUESTS, _OF_APP, "app, result"), "{{app}} {{result}}")],
            ),
            Panel(
                "Answers that come and go",
                "If many go to make room, a larger cache has more hits.",
                "short",
                [
                    Line(_rate(m.CACHE_STORED, _OF_APP, "app"), "{{app}} stored"),
                    Line(_rate(m.CACHE_EVICTED, _OF_APP, "app"), "{{app}} made room"),
                ],
            ),
            Panel(
                "Memory of the cache",
                "What holds answers, and what it has.",
                "bytes",
                [
                    Line(_now(m.CACHE_USED, _OF_APP, "app"), "{{app}} used"),
                    Line(_now(m.CACHE_SIZE, _OF_APP, "app"), "{{app}} size"),
                ],
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                "Starts",
                "Successors included.",
                "short",
                [Line(f"increase({series(m.STARTS)}{_OF_WATCHER}[$__rate_interval])", "{{watcher}}")],
            ),
            Panel(
                "Ends",
                "By reason.",
                "short",
                [
                    Line(
                        f"increase({series(m.EXITS)}{_OF_WATCHER}[$__rate_interval]) > 0",
                        "{{watcher}} {{reason}}",
                    )
                ],
            ),
            Panel(
                "CPU", "Cores in use.", "short", [Line(_rate(m.CPU, _OF_WATCHER, "watcher"), "{{watcher}}")]
            ),
            Panel(
                "Memory",
                "What is shared is divided (pss), or counted with each process (rss).",
                "bytes",
                [Line(_now(m.MEMORY, _OF_WATCHER, "watcher, kind"), "{{watcher}} {{kind}}")],
            ),
            Panel(
                "Lines of output dropped",
                "Faster than they could be written.",
                "short",
                [Line(_rate(m.LOG_DROPPED, _OF_WATCHER, "watcher"), "{{watcher}}")],
            ),
            Panel(
                "Reloads",
                "By result.",
                "short",
                [
                    Line(
                        f"increase({series(m.RELOADS)}{_OF_WATCHER}[$__rate_interval])",
                        "{{watcher}} {{result}}",
                    )
                ],
            ),
            Panel(
                "Generations",
                "Of the last reload.",
                "short",
                [Line(_now(m.GENERATION, _OF_WATCHER, "watcher"), "{{watcher}}")],
            ),
            Panel(
                "Versions",
                "Of Bigtop and of Python.",
                "short",
                [
                    Line(
                        f"sum by (version, python, compiled) ({series(m.BUILD)})",
                        "Bigtop {{version}}, Python {{python}}, compiled: {{compiled}}",
                    )
                ],
            ),
        ),
    ),
)


class Alert(NamedTuple):
    """A rule. `lasts` is how long its expression has to hold."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    text: str


_BAD_ENDS = '{reason=~"error|signal|hung"}'
ALERTS: Sequence[Alert] = (
    Alert(
        "BigtopGone",
        f"absent({series(m.BUILD)})",
        "2m",
        "critical",
        "No Bigtop answers Prometheus",
        "There is no supervisor, or Prometheus does not reach its admin listener.",
    ),
    Alert(
        "BigtopNoWorkers",
        f"{series(m.WORKERS)} == 0",
        "1m",
        "critical",
        "{{ $labels.app }} has no workers",
        "Nobody answers requests. The log says why workers do not start.",
    ),
    Alert(
        "BigtopErrors",
        f"{_errors('5m')} > 0.05",
        "5m",
        "critical",
        "{{ $labels.app }} answers {{ $value | humanizePercentage }} of requests with 500 or more",
        "More than one request in twenty fails.",
    ),
    Alert(
        "BigtopSlow",
        f"histogram_quantile(0.99, sum by (app, le) (rate({_BUCKETS}[5m]))) > 2.5",
        "10m",
        "warning",
        "{{ $labels.app }} is slow: p99 is {{ $value | humanizeDuration }}",
        "bigtop ctl requests --slow 1s shows what runs, bigtop ctl stack where it stands.",
    ),
    Alert(
        "BigtopRequestsWait",
        f"histogram_quantile(0.9, sum by (app, le) (rate({m.QUEUE.name}_bucket[5m]))) > 0.1",
        "5m",
        "warning",
        "Requests of {{ $labels.app }} wait {{ $value | humanizeDuration }} for a place",
        "All places for calls are taken: more workers or threads, or quicker calls.",
    ),
    Alert(
        "BigtopWorkersDie",
        f"sum by (watcher) (increase({series(m.EXITS)}{_BAD_ENDS}[10m])) > 5",
        "0m",
        "warning",
        "Processes of {{ $labels.watcher }} die again and again",
        "More than five in ten minutes crashed, failed, or hung and were replaced.",
    ),
    Alert(
        "BigtopWorkersHang",
        f'sum by (watcher) (increase({series(m.EXITS)}{{reason="hung"}}[15m])) > 0',
        "0m",
        "warning",
        "A worker of {{ $labels.watcher }} hung and was replaced",
        "A call took longer than --timeout. The log names the request, and where it stood.",
    ),
    Alert(
        "BigtopReloadFailed",
        f'increase({series(m.RELOADS)}{{result="failed"}}[15m]) > 0',
        "0m",
        "warning",
        "A reload of {{ $labels.watcher }} failed",
        "The deploy did not happen: the old code goes on. The log says why.",
    ),
    Alert(
        "BigtopLogDropped",
        f"rate({series(m.LOG_DROPPED)}[5m]) > 0",
        "5m",
        "warning",
        "Output of {{ $labels.watcher }} is lost",
        "It writes lines faster than they can be stored.",
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    return {
        "title": "Bigtop",
        "uid": "bigtop",
        "description": "What Bigtop serves and runs.",
        "tags": ["bigtop"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source(), _variable("app", m.WORKERS), _variable("watcher", m.STARTS)]},
        "annotations": {"list": [_reloads()]},
        "panels": _panels(),
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}


def _variable(label: str, metric: Metric) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": f"label_values({series(metric)}, {label})", "refId": label},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _reloads() -> dict[str, Any]:
    return {
        "name": "Reloads",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"1000 * {series(m.LAST_RELOAD)}{_OF_WATCHER} > 0",
        "useValueForTime": True,
        "titleFormat": "{{watcher}} reloaded",
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "gridPos": {"h": 1, "w": 24, "x": 0, "y": top}})
        top += 1
        for number, panel in enumerate(row):
            place = {"h": 8, "w": 12, "x": 12 * (number % 2), "y": top + 8 * (number // 2)}
            panels.append(_panel(panel, place))
        top += 8 * ((len(row) + 1) // 2)
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    is_map = panel.kind == "heatmap"
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": line.expression,
            "legendFormat": line.legend,
            **({"format": "heatmap"} if is_map else {}),
        }
        for number, line in enumerate(panel.lines)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"calculate": False, "yAxis": {"unit": panel.unit}} if is_map else {},
    }


def rules() -> str:
    """Return the alert rules, as Prometheus reads them."""
    lines = [
        "# Made by generate.py. Take a copy and change the limits.",
        "groups:",
        "  - name: bigtop",
        "    rules:",
    ]
    for alert in ALERTS:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: '{alert.expression}'",
            f"        for: {alert.lasts}",
            f"        labels: {{severity: {alert.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          description: {json.dumps(alert.text)}",
        ]
    return "".join(f"{line}\n" for line in lines)


def main(folder: Path) -> None:
    (folder / "dashboard.json").write_text(json.dumps(dashboard(), indent=1) + "\n")
    (folder / "alerts.yml").write_text(rules())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
