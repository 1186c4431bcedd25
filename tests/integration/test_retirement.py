# Workers that are replaced although they are well: by their age, or by the memory that they have taken.

from __future__ import annotations

import time

from tests.support.load import Load
from tests.support.site import Site, until


def test_a_worker_of_an_age_is_replaced_after_its_successor_is_there() -> None:
    with Site("tests.apps.site:app", "--workers", "1", "--max-age", "1", "--max-age-variance", "0") as site:
        (first,) = site.workers()
        with Load(site.port, 8) as load:
            until(lambda: first not in site.workers() and load.workers - {first}, "the successor")
        assert not load.failures
        assert "died" not in site.log()


def test_ages_differ_by_a_random_time() -> None:
    more = ["--workers", "1", "--max-age", "0.5", "--max-age-variance", "365d"]
    with Site("tests.apps.wsgi_basic:app", *more) as site:
        before, began = site.workers(), time.monotonic()
        until(lambda: time.monotonic() - began > 3, "six times the age")
        assert site.workers() == before


def test_a_worker_that_takes_too_much_memory_is_replaced() -> None:
    with Site("tests.apps.hungry:app", "--workers", "2", "--max-memory", "90M") as site:
        before = set(site.workers())
        with Load(site.port, 8) as load:
            assert site.get("/keep") == "ok"
            site.wait_for("is replaced: ")
            until(
                lambda: len(before & set(site.workers())) == 1 and len(site.workers()) == 2, "the successor"
            )
        assert not load.failures
        (line,) = [line for line in site.log().splitlines() if "is replaced: " in line]
        assert "MB in use, more than 94 MB" in line
        assert site.get("/") == "ok"
        assert "died" not in site.log()
