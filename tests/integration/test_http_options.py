# Options about requests, from the command line and from a file to the application.

from __future__ import annotations

import json

import pytest

from tests.support.site import Site
from tests.support.wire import Client

APP = {"wsgi": "tests.apps.shown:wsgi", "asgi": "tests.apps.shown:asgi"}


@pytest.mark.case("A10")
@pytest.mark.case("A21")
@pytest.mark.parametrize("speaks", APP)
def test_script_name_and_no_limits(speaks: str) -> None:
    none = ("--limit-request-line", "0", "--limit-request-field_size", "0", "--limit-request-fields", "0")
    with (
        Site(APP[speaks], "--control", "off", *none, env={"SCRIPT_NAME": "/foo"}) as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        made = json.loads(client.get("/foo/bar?" + "x" * 20_000, "X-Long: " + "y" * 20_000).body)
        assert (made["SCRIPT_NAME"], made["PATH_INFO"], len(made["HTTP_X_LONG"])) == (
            "/foo",
            "/bar",
            20_000,
        )
        many = [f"X-{number}: z" for number in range(500)]
        assert json.loads(client.get("/", *many).body)["HTTP_X_499"] == "z"
        assert client.get("/" + "x" * 70_000).status in (414, 431)


@pytest.mark.case("A9")
@pytest.mark.case("A11")
@pytest.mark.parametrize("speaks", APP)
def test_what_proxies_say(speaks: str) -> None:
    words = ("--secure-scheme-headers", "X-Tls=yes", "--header-map", "refuse", "--forwarder-headers", "a_b")
    with (
        Site(APP[speaks], "--control", "off", *words) as site,
        Client(("127.0.0.1", site.port)) as client,
    ):
        made = json.loads(client.get("/", "X-Tls: yes", "a_b: c").body)
        assert (made["wsgi.url_scheme"], made["HTTP_A_B"]) == ("https", "c")
        assert json.loads(client.get("/", "X-Forwarded-Proto: https").body)["wsgi.url_scheme"] == "http"
        assert client.get("/", "c_d: e").status == 400
