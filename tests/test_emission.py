"""Where figures are sent, as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop import emission
from bigtop.emission import Emission, address, collector, prefix, shown, tag
from bigtop.stats.orders import Orders
from bigtop.stats.pace import Pace

GIVEN = {
    "127.0.0.1:9125": ("127.0.0.1", 9125),
    "Statsd.Example": ("statsd.example", 8125),
    "[::1]:9125": ("::1", 9125),
    "[::1]": ("::1", 8125),
    "udp://a:1": ("a", 1),
    "unix:/run/statsd": "/run/statsd",
    "unix:///run/statsd": "/run/statsd",
    "unix:run/statsd": "run/statsd",
    "unix:8125": ("unix", 8125),  # a host of that name, as gunicorn has it
}


@pytest.mark.parametrize("text", GIVEN)
def test_addresses(text):
    assert address(text) == GIVEN[text]


@pytest.mark.parametrize(
    "text", ["", ":8125", "a:b", "a:0", "a:65536", "a:", "::1", "[::1", "unix:", "a b:1", "a\0b:1"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r"must be|port"):
        address(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text):
    try:
        found = address(text)
    except ValueError:
        return
    again = shown(found)
    assert address(again) == found or again == f"unix:{found}"  # the latter for a path of digits alone


def test_gunicorn_reads_the_same():
    config = pytest.importorskip("gunicorn.config", reason="pip install gunicorn")
    for text in (
        "127.0.0.1:9125",
        "statsd.example",
        "[::1]:9125",
        "[::1]",
        "unix:///run/statsd",
        "unix:8125",
    ):
        assert config.validate_statsd_address(text) == address(text)


def test_collectors():
    assert collector("http://127.0.0.1:4318") == "http://127.0.0.1:4318/v1/metrics"
    assert collector("https://here/") == "https://here/v1/metrics"
    assert collector("https://here/own/path") == "https://here/own/path"
    for text in ("", "here:4318", "grpc://here:4317", "http://", "http://a?b", "http://a b"):
        with pytest.raises(ValueError, match="must be a URL such as"):
            collector(text)


def test_what_is_not_installed_is_not_there():
    assert emission.lacking(None) == ""
    assert emission._is_there("json.decoder")
    assert not emission._is_there("json.nothing")
    assert not emission._is_there("no_such_package.of.anybody")


@pytest.mark.parametrize("text", ["a:b", "a|b", "a b", "a\nb"])
def test_what_no_name_holds(text):
    with pytest.raises(ValueError, match="must hold neither"):
        prefix(text)


def test_dots_that_end_a_prefix_are_not_doubled():
    assert [prefix(text) for text in ("shop", "shop.", "a.b..", "")] == ["shop", "shop", "a.b", ""]


@pytest.mark.parametrize("text", ["", "a|b", "a\nb", "a,b"])
def test_what_no_tag_holds(text):
    with pytest.raises(ValueError, match="must be NAME:VALUE"):
        tag(text)


@pytest.mark.parametrize(
    "sent",
    [
        Emission(("::1", 8125), "shop", ("env:live", "b"), "circus", backlog=True, has_names=True),
        Emission("/run/statsd"),
        None,
    ],
)
def test_the_stats_process_is_told_all_of_it(sent):
    pace = Pace(2.0, emission=sent, intervals=(("web", 5.0),), otlp=sent and "http://here/v1/metrics")
    orders = Orders(None, 3, pace)
    assert Orders.decode(orders.encode()) == orders
