# What will keep a CA away, in words.

from __future__ import annotations

from pathlib import Path

import pytest

from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.ordering import self_check
from bigtop.keeper.ordering.self_check import Seen, SelfCheck
from tests.support.pebble import Answers

HTTP = Challenge("http-01", "localhost", "token", "token.thumbprint")
OPEN = "that port has to be open, and lead to this machine"
ELSEWHERE = "it leads to another server, or a proxy in front answers"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen("8.8.8.8", 80, status=200, body="token.thumbprint"), []),
        (Seen("8.8.8.8", 80, status=301), []),
        (
            Seen("10.0.0.1", 80, status=200, body="token.thumbprint"),
            ["it leads to 10.0.0.1, which is no public address: a CA outside cannot get there"],
        ),
        (
            Seen("fe80::1%eth0", 80),
            ["it leads to fe80::1%eth0, which is no public address: a CA outside cannot get there"],
        ),
        (
            Seen("8.8.8.8", 80, "Connection refused"),
            [f"nobody answers at 8.8.8.8, port 80 (Connection refused): {OPEN}"],
        ),
        (
            Seen("8.8.8.8", 80, status=200, body="<html>"),
            [f"something else answers at 8.8.8.8, port 80: {ELSEWHERE}"],
        ),
        (
            Seen("8.8.8.8", 80, status=404),
            ["something else answers at 8.8.8.8, port 80, with 404: does it lead to this machine?"],
        ),
    ],
)
def test_words(seen: Seen, words: list[str]) -> None:
    assert self_check.words(HTTP, [seen]) == words


def test_it_looks_where_the_name_leads(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    try:
        check = SelfCheck(answers.http_port, answers.tls_port)
        answers.known["token"] = HTTP
        for kind in ("http-01", "tls-alpn-01"):
            found = check.look(Challenge(kind, "localhost", "token", "token.thumbprint"))
            assert "it leads to 127.0.0.1, which is no public address: a CA outside cannot get there" in found
        assert answers.asked.count("token") >= 1
    finally:
        answers.close()


def test_a_name_that_leads_nowhere() -> None:
    (found,) = SelfCheck().look(Challenge("http-01", "nobody.invalid", "t", "t.x"))
    assert found.startswith("its name cannot be found from here (")
    (found,) = SelfCheck().look(Challenge("http-01", "a" * 70 + ".invalid", "t", "t.x"))
    assert found.startswith("its name cannot be found from here (")
    assert SelfCheck().look(Challenge("dns-01", "localhost", "t", "t.x")) == []
