# What h2load says becomes the same figures as those of the bench's own generator.

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import peers, workshop
from bench.h2load import parse
from bench.runner import fits, shape
from bench.scenarios import SCENARIOS

SAID = """starting benchmark...
TLS Protocol: TLSv1.3
Application protocol: h2

finished in 2.50s, 1.60 req/s, 100B/s
requests: 4 total, 4 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
"""
LOG = "1700000000000000\t200\t1500\n1700000000000100\t200\t700\n1700000000000200\t503\t20\n1700\t200\t700\n"


def test_a_report() -> None:
    report = parse(SAID, LOG, 0.5, "all")
    assert (report.elapsed, report.cpu, report.answered, report.errors) == (2.5, 0.5, 3, {"503": 1})
    assert report.histograms == {"all": [(700.0, 2), (1500.0, 1)]}


@pytest.mark.parametrize("said", [SAID.replace(" h2\n", " http/1.1\n"), "", SAID.replace("finished", "done")])
def test_what_is_no_report(said: str) -> None:
    with pytest.raises(workshop.NotAvailableError):
        parse(said, LOG, 0.5, "all")


def test_peers_that_do_not_speak_it_are_left_out() -> None:
    scenario = SCENARIOS["http2-hello"]
    (granian, gunicorn) = peers.select("granian,gunicorn-sync")
    assert fits(granian, scenario)
    assert not fits(gunicorn, scenario)
    assert not fits(replace(granian, tls=""), scenario)
    assert "10 connections, TLS with an ECDSA certificate (P-256), HTTP/2 with 10 requests" in shape(scenario)
