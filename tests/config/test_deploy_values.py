# Health checks and thresholds as texts.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.config.serve.values import deploy_values
from bigtop.supervisor.policy.deploys.deploy import HealthCheck


@pytest.mark.parametrize(
    ("text", "method", "target", "statuses", "limit"),
    [
        ("GET /healthz", "GET", "/healthz", ((200, 299),), 10.0),
        ("GET /healthz 200 <500ms", "GET", "/healthz", ((200, 200),), 0.5),
        ("HEAD / <2s 204", "HEAD", "/", ((204, 204),), 2.0),
        ("GET /a?b=c 2xx,301", "GET", "/a?b=c", ((200, 299), (301, 301)), 10.0),
        ("GET / 200-399", "GET", "/", ((200, 399),), 10.0),
        ("GET / 3xx <0.25", "GET", "/", ((300, 399),), 0.25),
        ("GET https://example.com:8443/x", "GET", "https://example.com:8443/x", ((200, 299),), 10.0),
        ("  GET   /x   200 ", "GET", "/x", ((200, 200),), 10.0),
    ],
)
def test_what_is_understood(
    text: str, method: str, target: str, statuses: tuple[tuple[int, int], ...], limit: float
) -> None:
    assert deploy_values.check(text) == HealthCheck(text, method, target, statuses, limit)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be a request such as 'GET /healthz 200 <500ms', got ''"),
        ("/healthz", "must be a request such as"),
        ("get /healthz", "must be a request such as"),
        ("GET healthz", "'healthz' must be a path such as /healthz"),
        ("GET ftp://a/b", "must be a path such as /healthz, or https://example.com/healthz"),
        ("GET https:///b", "must be a path"),
        ("GET https://a:99999/b", "must be a path"),
        ("GET https://user@a/b", "must be a path"),
        ("GET /a#b", "'/a#b' must be a path"),
        ("GET /ä", "must be a path"),
        ("GET / 20", "'20' is neither a status such as 200, 2xx or 200,301 nor a time such as <500ms"),
        ("GET / 600", "'600' is neither a status"),
        ("GET / 500ms", "'500ms' is neither a status"),
        ("GET / 299-200", "'299-200' has a range that ends before it begins"),
        ("GET / <soon", "'<soon' must be a time such as <500ms or <2s"),
        ("GET / <0", "'<0' must be a time"),
        ("GET / 200 201", "says the status twice: 'GET / 200 201'"),
        ("GET / <1s <2s", "says the time twice: 'GET / <1s <2s'"),
    ],
)
def test_what_is_not(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        deploy_values.check(text)
    assert problem in str(caught.value)


@given(st.text())
def test_whatever_a_text_is_it_is_understood_or_refused_with_a_word(text: str) -> None:
    try:
        made = deploy_values.check(text)
    except ValueError as error:
        told = str(error)
    else:
        assert made.limit > 0
        assert made.method.isascii()
        assert not set(made.target) & set(" \r\n\t#")
        told = made.text
    assert told


@given(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.lists(st.integers(100, 599), min_size=1),
    st.integers(1, 10_000),
    st.integers(100, 599),
)
def test_what_was_written_is_what_is_accepted(
    method: str, statuses: list[int], limit: int, status: int
) -> None:
    made = deploy_values.check(f"{method} / {','.join(map(str, statuses))} <{limit}ms")
    assert made.accepts(status) == (status in statuses)
    assert made.limit == pytest.approx(limit / 1000)


def test_headers() -> None:
    assert deploy_values.header("Host: example.com") == ("Host", "example.com")
    assert deploy_values.header("X-A:") == ("X-A", "")
    for wrong in ("Host", "A B: c", "Content-Length: 3", "connection: keep-alive", "*: x", "X: a\nb"):
        with pytest.raises(ValueError, match=r"^"):
            deploy_values.header(wrong)


def test_shares_and_factors() -> None:
    assert [deploy_values.share(text) for text in ("1%", "0.01", "0", "100%", "1")] == [0.01, 0.01, 0, 1, 1]
    assert [deploy_values.factor(text) for text in ("1", "2.5")] == [1, 2.5]
    for wrong in ("101%", "1.1", "-1", "x", ""):
        with pytest.raises(ValueError, match=r"must be a share such as 1% or 0\.01"):
            deploy_values.share(wrong)
    for wrong in ("0.9", "0", "-1", "x", ""):
        with pytest.raises(ValueError, match=r"must be a factor such as 1\.5"):
            deploy_values.factor(wrong)


def test_a_command_is_not_empty() -> None:
    assert deploy_values.command("a b") == "a b"
    with pytest.raises(ValueError, match="must be a command"):
        deploy_values.command(" ")


def test_checks_of_commands() -> None:
    assert deploy_values.command_check("TCP 127.0.0.1:6379") == HealthCheck(
        "TCP 127.0.0.1:6379", "TCP", "127.0.0.1:6379", (), 10.0
    )
    assert deploy_values.command_check("TCP [::1]:80 <2s").limit == 2
    assert deploy_values.command_check("GET http://a:1/x 204").accepts(204)
    for wrong in ("TCP", "TCP 80", "TCP a:b", "TCP a:80 200", "TCP a:80 <soon", "GET /x", "GET https://a/x"):
        with pytest.raises(ValueError, match=r"^(must|'<soon' must)"):
            deploy_values.command_check(wrong)
