# Backends by name, and what happens when one cannot do what is asked.

from __future__ import annotations

import re
from operator import attrgetter
from typing import ClassVar

import pytest

from bigtop.backends import registry
from bigtop.backends.base import Features
from bigtop.backends.serve_options import FLAGS, BalancerPolicy, Gates, ServeOptions
from bigtop.config.serve.option import NATIVE
from bigtop.config.serve.options import OPTIONS
from bigtop.errors import ConfigError
from bigtop.http.declarations import Mount, Rate
from bigtop.http.limits import Limits, WebSocketLimits


class Plain:
    name: ClassVar[str] = "plain"
    features: ClassVar[Features] = Features(interface="wsgi", threads=False, unix=False, reload=False)


def test_the_native_backend_is_found_by_its_name() -> None:
    assert "wsgi" in registry.names()
    assert registry.load("wsgi").name == "wsgi"


def test_an_unknown_name_is_answered_with_the_nearest_and_all_others() -> None:
    with pytest.raises(ConfigError, match=r"no backend 'wsgl'; did you mean 'wsgi'\? there are: .*wsgi"):
        registry.load("wsgl")


def test_a_name_like_no_other_gets_the_list_only() -> None:
    with pytest.raises(ConfigError, match="no backend 'zzzzzz'; there are: "):
        registry.load("zzzzzz")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "waitress",
            "no_such_module_at_all:Backend",
            r"needs the module 'no_such_module_at_all'.*pip install 'bigtop\[waitress\]'",
        ),
        (
            "theirs",  # what somebody else's needs is no extra of ours
            "no_such_module_at_all:Backend",
            r"not installed; no_such_module_at_all:Backend imports it$",
        ),
        ("theirs", "bigtop.backends.base:NoSuch", "cannot be imported: .*NoSuch"),
    ],
)
def test_a_backend_that_cannot_be_imported_says_what_is_missing(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry._import(name, value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"interface": "asgi"},
            r"'plain' does not support ASGI applications \(it serves WSGI\); .*--backend",
        ),
        (
            {"options": ServeOptions(threads=2)},
            r"'plain' does not support threads \(--threads 2\); use --threads 1",
        ),
        ({"options": ServeOptions(static=(Mount("/s/", "/usr"),))}, "serving files .--static.*a proxy do it"),
        ({"options": ServeOptions(sendfile_roots=(Mount("/s/", "/usr"),))}, "does not support files by name"),
        ({"options": ServeOptions(balancers=BalancerPolicy("v1"))}, "does not support the PROXY protocol"),
        ({"unix": True}, "'plain' does not support unix sockets; bind a HOST:PORT"),
        ({"reload": True}, "'plain' does not support sharing its listeners.*restart instead"),
    ],
)
def test_what_is_not_declared_is_refused_with_a_remedy(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry.require(Plain, **{"interface": "wsgi", **asked})


def test_what_is_declared_passes() -> None:
    everything = ServeOptions(threads=8, static=(Mount("/s/", "/usr"),), balancers=BalancerPolicy("auto"))
    registry.require(registry.load("wsgi"), interface="wsgi", options=everything, unix=True, reload=True)
    registry.require(Plain, interface="wsgi")


class Heeding(Plain):
    features: ClassVar[Features] = Features(interface="wsgi", heeds=frozenset({"limits.keep_alive"}))


def test_what_a_backend_does_nothing_about_is_named() -> None:
    asked = ServeOptions(server_header="x", limits=Limits(keep_alive=1, body_rate=Rate(1, 1)))
    assert registry.unheeded(Heeding, asked) == (
        "backend 'plain' does nothing about --server-header, --min-body-rate"
    )
    assert registry.unheeded(Plain, ServeOptions()) == ""


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (ServeOptions(gates=Gates(connections=1)), "--limit-address-connections"),
        (ServeOptions(gates=Gates(rate=Rate(1, 1))), "--limit-address-rate"),
        (ServeOptions(limit_concurrency=1), "--limit-concurrency"),
        (ServeOptions(websocket=WebSocketLimits(origins=("https://a.test",))), "--ws-origins"),
    ],
)
def test_protection_that_would_not_be_there_is_refused(options: ServeOptions, flag: str) -> None:
    with pytest.raises(ConfigError, match=f"'plain' does not support {flag}; choose another"):
        registry.require(Plain, interface="wsgi", options=options)


@pytest.mark.parametrize("name", registry.names())
def test_what_backends_heed_has_a_flag(name: str) -> None:
    try:
        features = registry.load(name).features
    except ConfigError as error:
        pytest.skip(str(error))
    assert features.heeds <= set(FLAGS)


@pytest.mark.parametrize("name", NATIVE)
def test_native_servers_heed_all_but_what_the_table_gives_a_reason_for(name: str) -> None:
    can = registry.load(name).features
    without = {
        option.field: one.reason for option in OPTIONS for one in option.without if one.backend == name
    }
    assert set(FLAGS) - can.heeds == without.keys() - {"threads"}
    assert can.threads is ("threads" not in without)
    assert all((can.static, can.sendfile, can.balancers, can.routes, can.unix))
    assert all(without.values())


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(timeout_for=(("/reports/*", 300.0),)), "does not support --timeout-for"),
        (Limits(timeout_action="interrupt"), "does not support interrupting a request (--timeout-action)"),
        (Limits(timeout_action="retire,kill=5"), ""),
        (Limits(), ""),
    ],
)
def test_who_cannot_interrupt_is_not_asked_to(limits: Limits, said: str) -> None:
    options = ServeOptions(limits=limits)
    for name in NATIVE:
        native = registry.load(name)
        registry.require(native, interface=native.features.interface, options=options)
    other = registry.load("wsgiref")
    if said:
        with pytest.raises(ConfigError, match=re.escape(said)):
            registry.require(other, interface="wsgi", options=options)
    else:
        registry.require(other, interface="wsgi", options=options)


def test_flags_of_options_are_flags_of_serve() -> None:
    """Fields without a FLAG are those that every backend heeds, or that a feature is about."""
    flags = {option.field: option.flag for option in OPTIONS if option.field}
    assert FLAGS.items() <= flags.items()
    by_feature = {"threads", "static", "sendfile_roots", "balancers.protocol", "balancers.allow_ips"}
    assert set(flags) - set(FLAGS) == by_feature | {"timeout", "limits.timeout_action"}
    for name in flags:
        attrgetter(name)(ServeOptions())
