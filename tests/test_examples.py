# The examples run.

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop.plugins.builtin.program import shown
from bigtop.plugins.plugin import Event
from tests.support.site import ROOT, Site

EXAMPLE = ROOT / "examples/custom_backend.py"


def test_a_backend_of_ones_own_serves_a_site(tmp_path: Path) -> None:
    # What pip leaves behind after installing a package with this entry point.
    (tmp_path / "custom_backend.py").write_text(EXAMPLE.read_text())
    info = tmp_path / "plain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bigtop.backends]\nplain = custom_backend:PlainBackend\n")
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    with Site("tests.apps.site:app", "--backend", "plain", "--workers", "2", env=env) as site:
        assert site.get() == "ok"
        assert site.stop() == 0
    command = [sys.executable, "-m", "bigtop", "serve", "x:y", "--backend", "plain", "--threads", "2"]
    found = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "'plain' does not support threads" in found.stderr
    command = [sys.executable, "-m", "bigtop", "backends"]
    found = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert re.search(r"plain +1\.0 +wsgi +wsgiref with nothing around it", found.stdout)


def test_the_page_shows_the_example() -> None:
    page = (ROOT / "docs/howto/custom-backend.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    assert shown.strip() == EXAMPLE.read_text().strip()
    assert len(shown.splitlines()) < 60


PLUGINS = ROOT / "examples/plugins"


def test_the_plugin_in_python_passes_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    runpy.run_path(str(PLUGINS / "test_queue_scaler.py"))[
        "test_there_are_as_many_processes_as_there_are_jobs_for"
    ](tmp_path)


def test_the_plugin_in_shell_acknowledges(tmp_path: Path) -> None:
    events = [Event("web", "died", {"exit_code": 1}), Event("api", "died")]
    lines = [json.dumps({"seq": number, **shown(event)}) for number, event in enumerate(events, 7)]
    words = ["sh", str(PLUGINS / "deaths.sh"), str(tmp_path / "deaths")]
    told = "\n".join([lines[0], '{"reply": 1, "status": "ok"}', lines[1], ""])
    done = subprocess.run(words, input=told, capture_output=True, text=True, timeout=60)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"ok": 7}, {"ok": 8}]
    assert [line.split()[-1] for line in (tmp_path / "deaths").read_text().splitlines()] == ["web", "api"]


def test_the_page_of_plugins_shows_the_examples() -> None:
    page = (ROOT / "docs/howto/plugins.md").read_text()
    for path in PLUGINS.iterdir():
        if path.is_file():
            assert f'title="{path.name}"\n{path.read_text().strip()}\n```' in page
