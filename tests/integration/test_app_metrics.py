# What an application counts with prometheus_client, added up over its workers and over their lives.

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import site as support
from tests.support.site import ROOT, until
from tests.support.stack import Stack
from tests.support.users import NOBODY, python_for_nobody
from tests.support.wire import Client

APP = """
import os
from prometheus_client import Counter, Gauge, Histogram, generate_latest

jobs = Counter("jobs", "Jobs", ["kind"])
seconds = Histogram("seconds", "Seconds")
alive = Gauge("alive", "Workers", multiprocess_mode="livesum")
last = Gauge("last", "The last job", multiprocess_mode="mostrecent")

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    if path == "/metrics":
        return [generate_latest()]
    if path == "/folder":
        return [os.environ.get("PROMETHEUS_MULTIPROC_DIR", "").encode()]
    if path == "/child":
        if (child := os.fork()) == 0:
            jobs.labels("child").inc()
            os._exit(0)
        os.waitpid(child, 0)
    else:
        jobs.labels("web").inc()
        seconds.observe(0.5)
        alive.set(1)
        last.set(7)
    return [str(os.getpid()).encode()]
"""


class Site(support.Site):
    """One that ends by itself where it can, and removes its folder."""

    def _end(self) -> None:
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
        super()._end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counting.py").write_text(APP)
    return tmp_path


def counted(site: Site) -> dict[tuple[object, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(site.get("/metrics"))
        for sample in family.samples
    }


def ask_each(site: Site, workers: int) -> int:
    """Ask until each worker has answered; return how often."""
    seen: set[int] = set()
    asked = 0
    while not seen >= site.workers().keys() or len(seen) < workers:
        with Client(("127.0.0.1", site.port)) as client:
            seen.add(int(client.get("/").body))
        asked += 1
        assert asked < 5000
    return asked


def files(site: Site) -> set[str]:
    return set(os.listdir(site.get("/folder")))


@pytest.mark.parametrize("preload", ["on", "off"])
def test_counts_of_all_workers_are_added_up(folder: Path, preload: str) -> None:
    with Site("counting:app", "--workers", "2", "--preload", preload, cwd=folder) as site:
        until(lambda: len(site.workers()) == 2, "both workers")
        asked = ask_each(site, 2)
        now = counted(site)
        assert now["jobs_total", "web"] == now["seconds_count",] == asked
        assert now["seconds_sum",] == asked * 0.5
        assert (now["alive",], now["last",]) == (2, 7)
        assert "process_cpu_seconds_total" in {name for name, *_ in now}  # what nobody can add up, too
        names = {"counter", "histogram", "gauge_livesum", "gauge_mostrecent"}
        assert files(site) == {f"{name}_{number}.db" for name in names for number in (1, 2)}

        (victim, *_) = site.workers()
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in site.workers(), "its end")
        until(lambda: len(site.workers()) == 2, "its successor")
        until(lambda: counted(site)["alive",] == 1, "its gauge to be gone")
        assert counted(site)["jobs_total", "web"] == asked
        asked += ask_each(site, 2)
        assert counted(site)["jobs_total", "web"] == asked
        assert counted(site)["alive",] == 2

        where = site.get("/folder")
        assert os.stat(where).st_mode & 0o777 == 0o700
        assert site.stop() == 0
        assert not os.path.exists(where)


def test_many_lives_leave_files_for_the_numbers_of_workers_only(folder: Path) -> None:
    with Site("counting:app", "--workers", "2", "--max-requests", "5", cwd=folder) as site:
        until(lambda: len(site.workers()) == 2, "both workers")
        seen: set[int] = set()
        asked = 0
        while len(seen) <= 10:
            with Client(("127.0.0.1", site.port)) as client:
                seen.add(int(client.get("/").body))
            asked += 1
            assert asked < 5000
        assert counted(site)["jobs_total", "web"] == asked
        numbers = {name.rpartition("_")[2] for name in files(site) if name.startswith("counter")}
        # A successor runs beside its predecessor for a while, so there may be as many more.
        assert numbers <= {f"{number}.db" for number in range(1, 7)}


def test_counts_outlive_a_reload(folder: Path) -> None:
    with Site("counting:app", "--workers", "2", cwd=folder) as site:
        asked = ask_each(site, 2)
        site.send(signal.SIGHUP)
        site.wait_for("reloaded, every worker")
        asked += ask_each(site, 2)
        assert counted(site)["jobs_total", "web"] == asked
        assert not {name for name in files(site) if "_f" in name}  # of fork servers


def test_a_process_that_a_worker_forks_is_counted_beside_it(folder: Path) -> None:
    with Site("counting:app", "--app-metrics", "on", cwd=folder) as site:
        for _ in range(3):
            site.get("/child")
        site.get("/")
        assert counted(site)["jobs_total", "child"] == 3


@pytest.mark.parametrize("options", [("--app-metrics", "off", "--workers", "2"), ("--workers", "1")])
def test_without_it_each_process_counts_for_itself(folder: Path, options: tuple[str, ...]) -> None:
    with Site("counting:app", *options, cwd=folder) as site:
        assert site.get("/folder") == ""
        site.get("/")
        assert counted(site)["last",] == 7 or options[0] == "--app-metrics"


def test_who_has_a_folder_keeps_it(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    env = {"PROMETHEUS_MULTIPROC_DIR": str(mine)}
    with Site("counting:app", "--workers", "2", cwd=folder, env=env) as site:
        assert site.get("/folder") == str(mine)
        worker = site.get("/")
        assert (mine / f"counter_{worker}.db").exists()


def test_nothing_is_made_for_an_application_that_does_not_import_it(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("""
import os, sys
from bigtop.workers import app_metrics

def app(environ, start_response):
    start_response("200 OK", [])
    folder = app_metrics._finder.folder
    known = [name for name in (*sys.modules, *os.environ) if "prometheus" in name.lower()]
    return [repr((os.path.exists(folder), known)).encode()]
""")
    with Site("plain:app", "--workers", "2", cwd=tmp_path) as site:
        assert site.get("/") == "(False, [])"


def test_each_application_of_a_file_counts_for_itself(folder: Path) -> None:
    text = "".join(
        f'[app.{name}]\napp = "counting:app"\nbind = "unix:{{folder}}/{name}"\nworkers = 2\n'
        f'pythonpath = ["{folder}"]\n'
        for name in ("one", "two")
    )
    with Stack(text) as stack:
        stack.wait_for(": started", times=2)

        def jobs(name: str) -> bytes:
            with Client(f"{stack.folder}/{name}") as client:
                return client.get("/metrics").body

        for _ in range(5):
            with Client(f"{stack.folder}/one") as client:
                client.get("/")
        assert b'jobs_total{kind="web"} 5.0' in jobs("one")
        assert b'jobs_total{kind="web"}' not in jobs("two")
        assert stack.stop() == 0


def test_what_a_killed_supervisor_left_is_removed_by_the_next(folder: Path) -> None:
    with Site("counting:app", "--app-metrics", "on", cwd=folder) as living:
        living.get("/")
        kept = Path(living.get("/folder"))
        with Site("counting:app", "--app-metrics", "on", cwd=folder) as killed:
            killed.get("/")
            left = Path(killed.get("/folder"))
            assert left.is_dir()
            killed.family()
            os.kill(killed.pid, signal.SIGKILL)  # from here on, any other Bigtop of this user may remove it
            killed.process.wait()
            whose = left.name.split("-")
            others = [
                left.with_name("-".join([*whose[:2], "1", *whose[3:]])),  # in another container
                left.with_name("-".join([*whose[:2], "0", "0", "0", whose[5]])),  # nobody knows whose
                left.with_name(f"{left.name}0"),  # no name of ours
            ]
            for other in others:
                other.mkdir()
            try:
                with Site("counting:app", "--app-metrics", "on", cwd=folder):
                    # One that was quicker has told its own log of it.
                    until(lambda: not left.exists(), f"the end of {left}")
                    assert kept.is_dir()
                    assert all(other.is_dir() for other in others)
                    assert counted(living)["jobs_total", "web"] == 1
            finally:
                for other in others:
                    other.rmdir()


@pytest.mark.skipif(python_for_nobody() is None, reason="needs root, and a Python that nobody can run")
def test_as_another_user() -> None:
    """The application makes the folder, and the supervisor, which is root, removes from it and ends it."""
    found = python_for_nobody()
    assert found is not None
    program, env = found
    with tempfile.TemporaryDirectory(prefix="bigtop-metrics-") as name:  # pytest's own is for root alone
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "counting.py").write_text(APP)
        site = Site("counting:app", "--workers", "2", "--user", "nobody", "--chdir", name, env=env)
        site.command[0] = program
        with site:
            until(lambda: len(site.workers()) == 2, "both workers")
            asked = ask_each(site, 2)
            where = site.get("/folder")
            assert os.stat(where).st_uid == NOBODY
            assert (counted(site)["jobs_total", "web"], counted(site)["alive",]) == (asked, 2)
            os.kill(min(site.workers()), signal.SIGKILL)
            until(lambda: counted(site)["alive",] == 1, "its gauge to be gone")
            assert site.stop() == 0
            assert not os.path.exists(where)


def test_what_stands_in_its_place_is_left_alone(folder: Path, tmp_path: Path) -> None:
    """An application that puts a link there has nothing removed elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "gauge_livesum_1.db").touch()
    with Site("counting:app", "--app-metrics", "on", cwd=folder) as site:
        site.get("/")
        where = Path(site.get("/folder"))
        for name in os.listdir(where):
            (where / name).unlink()
        where.rmdir()
        where.symlink_to(elsewhere)
        (worker,) = site.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in site.workers(), "its end")
        until(lambda: len(site.workers()) == 1, "its successor")
        assert site.stop() == 0
    assert (elsewhere / "gauge_livesum_1.db").exists()
    where.unlink()


def test_a_folder_that_cannot_be_is_told(folder: Path) -> None:
    """Somebody was there first: nothing is added up, and the application works."""
    (folder / "first.py").write_text("""
import os
from bigtop.workers import app_metrics
open(app_metrics._finder.folder, "w").close()
from counting import app
os.unlink(app_metrics._finder.folder)
""")
    with Site("first:app", "--app-metrics", "on", cwd=folder) as site:
        assert "metrics of the application are not added up" in site.log()
        site.get("/")
        assert counted(site)["last",] == 7


def test_the_example_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/prometheus.md").read_text()
    (tmp_path / "shop.py").write_text(page.partition('title="shop.py"\n')[2].partition("```")[0])
    with Site("shop:app", "--workers", "2", cwd=tmp_path) as site:
        for _ in range(5):
            assert site.get("/") == "thank you\n"
        now = counted(site)
        assert (now["orders_total", "de"], now["payment_seconds_count",]) == (5, 5)
