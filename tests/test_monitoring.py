# The dashboard and the alert rules of examples/monitoring/: made from the table of metrics, true of a scrape.

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bigtop.stats.export.metrics import METRICS
from tests.integration.test_admin import ask
from tests.support.site import ROOT, until
from tests.support.stack import Stack

EXAMPLE = ROOT / "examples/monitoring"
FILES = ("dashboard.json", "alerts.yml")

FILE = """
[circus]
endpoint = "ipc://{folder}/ctl"
[admin]
bind = "127.0.0.1:0"
[app.shop]
app = "tests.apps.patterns_flask:app"
cache = "1M"
bind = "127.0.0.1:0"
[watcher.beside]
cmd = "sleep 1000"
"""

# What Prometheus and Grafana add to what is scraped.
ADDED = {"job", "instance"}
FUNCTIONS = {"sum", "avg", "rate", "increase", "histogram_quantile", "absent", "label_values"}
WORDS = {"by"}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLE / "dashboard.json").read_text())
    return found


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((EXAMPLE / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[str]:
    page = dashboard()
    for panel in page["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (annotation["expr"] for annotation in page["annotations"]["list"])
    yield from (one["query"]["query"] for one in page["templating"]["list"] if one["type"] == "query")
    yield from (rule["expr"] for rule in alerts())


class Expression:
    """What an expression of PromQL names."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self.labels: set[str] = set()  # that it divides or chooses by
        self.values: dict[str, set[str]] = {}  # that it compares labels with, for equality
        self._balanced(text)
        text = re.sub(r"\{([^}]*)\}", self._matchers, text)
        text = re.sub(r"\bby \(([^)]*)\)", self._division, text)
        text = re.sub(r"label_values\((\w+), (\w+)\)", self._query, text)
        text = re.sub(r"\[[^\]]*\]", "", text)
        for word, call in re.findall(r"\b([A-Za-z_:][\w:]*)\b(\s*\()?", text):
            if call:
                assert word in FUNCTIONS, f"{word} is no function known here: {text}"
            else:
                self.names.add(word)

    def _balanced(self, text: str) -> None:
        for opening, closing in ("()", "[]", "{}"):
            assert text.count(opening) == text.count(closing), text

    def _matchers(self, found: re.Match[str]) -> str:
        for matcher in found[1].split(","):
            parts = re.fullmatch(r'(\w+)(=~|=)"([^"]*)"', matcher)
            assert parts, f"no matcher: {matcher}"
            self.labels.add(parts[1])
            if not parts[3].startswith("$"):
                self.values.setdefault(parts[1], set()).update(parts[3].split("|"))
        return ""

    def _division(self, found: re.Match[str]) -> str:
        self.labels.update(word.strip() for word in found[1].split(","))
        return ""

    def _query(self, found: re.Match[str]) -> str:
        self.labels.add(found[2])
        return found[1]


def test_the_files_are_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLE / "generate.py", tmp_path], check=True)
    for name in FILES:
        assert (tmp_path / name).read_text() == (EXAMPLE / name).read_text(), (
            "run: python examples/monitoring/generate.py"
        )


def test_the_dashboard_shows_every_metric() -> None:
    shown = set().union(*(Expression(text).names for text in expressions()))
    missing = [
        metric.name
        for metric in METRICS
        if not any(name == metric.name or name.startswith(f"{metric.name}_") for name in shown)
    ]
    assert missing == []


def test_every_name_is_one_of_a_real_scrape() -> None:
    with Stack(FILE) as stack:
        stack.wait_for("shop: started")
        stack.wait_for("beside: started")
        stack.get("/articles/1/")
        found: dict[str, Mapping[str, set[str]]] = {}

        def scraped() -> bool:
            found.clear()
            found.update(samples(stack))
            return "bigtop_queue_seconds_bucket" in found  # once a request was counted

        until(scraped, "the request")
    for text in expressions():
        expression = Expression(text)
        assert expression.names
        for name in expression.names:
            assert name in found, f"nothing is named {name}: {text}"
            assert expression.labels <= found[name].keys() | ADDED, f"{name} has no such labels: {text}"
            for label, values in expression.values.items():
                assert values <= found[name][label], f"{label} of {name} is none of {values}: {text}"


def samples(stack: Stack) -> dict[str, Mapping[str, set[str]]]:
    """Return the labels of all samples, by name, with the values that each of them has."""
    from prometheus_client.parser import text_string_to_metric_families as families

    answered = ask(stack, "/metrics")
    assert answered.status == 200
    found: dict[str, dict[str, set[str]]] = {}
    for family in families(answered.body):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return dict(found)


def test_rules_say_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+m", rule["for"])
        told = "".join(rule["annotations"].values())
        used = set(re.findall(r"\$labels\.(\w+)", told))
        assert used <= Expression(rule["expr"]).labels | {"app", "watcher"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_promtool_finds_nothing() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: apt install prometheus")
    subprocess.run([promtool, "check", "rules", EXAMPLE / "alerts.yml"], check=True)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
