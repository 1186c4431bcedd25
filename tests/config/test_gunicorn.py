# gunicorn's settings and flags: each has a fate, and none is ignored in silence.

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest

from bigtop.config.gunicorn.layer import layer
from bigtop.config.gunicorn.setting import Refused, SetAside, Setting, Taken
from bigtop.config.gunicorn.settings import HEADINGS, SETTINGS
from bigtop.config.serve import flags, serve
from bigtop.config.serve.option import Option
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.settings import ServeConfig
from bigtop.errors import ConfigError

REFUSED = [one for one in SETTINGS.values() if isinstance(one.fate, Refused)]
SET_ASIDE = [one for one in SETTINGS.values() if isinstance(one.fate, SetAside)]


def configured(words: str) -> ServeConfig:
    return serve.configure("a:app", {}, flags.parse(shlex.split(words), "test"))


def file(**values: object) -> Mapping[str, object]:
    """Return what a file with `values` sets, as option -> texts, or what it is told about them."""
    made = layer(values, {name: f"gunicorn.conf.py: {name}" for name in values})
    return {name: given.texts for name, given in made.items()}


@pytest.mark.case("C2")
def test_every_setting_of_gunicorn_is_here_with_its_flags_and_its_default() -> None:
    known = pytest.importorskip("gunicorn.config", reason="pip install 'bigtop[test]' brings gunicorn 27")
    theirs = {one.name: one for one in known.KNOWN_SETTINGS}
    assert theirs.keys() == SETTINGS.keys()
    for name, setting in SETTINGS.items():
        assert setting.flags == tuple(theirs[name].cli or ()), name
        takes_nothing = theirs[name].action in ("store_true", "store_const")
        assert takes_nothing is not bool(setting.takes), name
        depends = callable(theirs[name].default) or name in ("chdir", "control_socket", "user", "group")
        assert depends or theirs[name].default == setting.default, name


def test_every_setting_is_there_once() -> None:
    assert sum(map(len, HEADINGS.values())) == len(SETTINGS)


def test_names_of_gunicorn_that_options_have_are_names_of_the_same_setting() -> None:
    also = {option.also: option for option in OPTIONS if option.also}
    for name, option in also.items():
        fate = SETTINGS[name].fate
        assert isinstance(fate, Taken), name
        assert fate.option is option


@pytest.mark.case("C2")
@pytest.mark.parametrize("setting", REFUSED, ids=lambda one: one.name)
def test_what_cannot_be_had_is_refused_by_name_with_what_to_do_instead(setting: Setting) -> None:
    assert isinstance(setting.fate, Refused)
    instead = setting.fate.instead
    with pytest.raises(ConfigError) as error:
        file(**{setting.name: "other"})
    assert str(error.value) == f"gunicorn.conf.py: {setting.name}: {instead}"
    assert file(**{setting.name: setting.default}) == {}
    if setting.flags and setting.switched != setting.default:
        flag = next(flag for flag in setting.flags if flag.startswith("--"))
        with pytest.raises(ConfigError, match=f"^{flag}( in test)?: "):
            configured(f"{flag} other" if setting.takes else flag)


@pytest.mark.case("C2")
@pytest.mark.parametrize("setting", SET_ASIDE, ids=lambda one: one.name)
def test_what_has_no_effect_is_said_to_have_none(setting: Setting) -> None:
    assert isinstance(setting.fate, SetAside)
    value = "7" if setting.takes else setting.switched
    (told,) = file(**{setting.name: value}).values()
    assert told == (f"has no effect: {setting.fate.reason}",)
    assert file(**{setting.name: setting.default}) == {}
    for flag in setting.flags:
        (remark,) = configured(f"{flag} 7" if setting.takes else flag).remarks
        assert remark.endswith(f"has no effect: {setting.fate.reason}")
        assert remark.startswith("--")


@pytest.mark.case("C2")
@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ({"bind": "0.0.0.0:80"}, {"bind": ("0.0.0.0:80",)}),
        ({"bind": ["tcp://127.0.0.1:1", ":2", "3", "unix:///s"]},
         {"bind": ("127.0.0.1:1", "0.0.0.0:2", "0.0.0.0:3", "unix:/s")}),
        ({"workers": 3, "threads": "2"}, {"workers": ("3",), "threads": ("2",)}),
        ({"worker_class": "gthread"}, {"backend": ("wsgi",)}),
        ({"worker_class": "asgi"}, {"backend": ("asgi",)}),
        ({"keepalive": 5, "timeout": 0}, {"keep_alive": ("5",), "timeout": ("0",)}),
        ({"preload_app": True}, {"preload": ("on",)}),
        ({"umask": 0o27}, {"umask": ("27",)}),
        ({"umask": "0o27"}, {"umask": ("27",)}),
        ({"umask": "027"}, {"umask": ("27",)}),
        ({"proc_name": "my site [1]"}, {"name": ("my-site-1",)}),
        ({"raw_env": ["A=1", "B=2"]}, {"env": ("A=1", "B=2")}),
        ({"proxy_protocol": True}, {"proxy_protocol": ("on",)}),
        ({"proxy_allow_ips": "*"}, {"proxy_allow_ips": ("*",)}),
        ({"secure_scheme_headers": {"X-P": "https"}}, {"secure_scheme_headers": ("X-P=https",)}),
        ({"accesslog": "-", "errorlog": None}, {"access_logfile": ("-",)}),
        ({"loglevel": "DEBUG"}, {"log_level": ("debug",)}),
        ({"control_socket_disable": True}, {"control": ("off",)}),
        ({"control_socket_disable": False}, {}),
        ({"logger_class": "gunicorn.glogging.Logger"}, {}),
        ({"logger_class": "a.B"}, {"logger_class": ("a.B",)}),
        ({"logconfig": "a.ini", "logconfig_json": "a.json", "logconfig_dict": {"version": 1}},
         {"log_config": ("a.ini",), "log_config_json": ("a.json",)}),
        ({"websocket_max_message_size": 1024}, {"ws_max_size": ("1024",)}),
        ({"asgi_loop": "uvloop", "asgi_lifespan": "off"}, {"loop": ("uvloop",), "lifespan": ("off",)}),
        ({"http_protocols": "h2,h1"}, {"http1_only": ("off",)}),
        ({"http_protocols": ["h1"]}, {"http1_only": ("on",)}),
        ({"http2_max_concurrent_streams": 50, "http2_initial_window_size": 1 << 20},
         {"http2_max_concurrent_streams": ("50",), "http2_initial_window_size": ("1048576",)}),
        ({"my_own_variable": 1, "_x": 2}, {}),
    ],
)  # fmt: skip
def test_values_of_a_file_become_those_of_options(values: Mapping[str, object], meant: object) -> None:
    assert file(**values) == meant


@pytest.mark.case("C2")
@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        ("--worker-class gthread --threads 4", "backend", "gthread"),
        ("--proxy-allow-from 10.0.0.0/8", "proxy_allow_ips", ("10.0.0.0/8",)),
        ("--asgi-loop asyncio", "loop", "asyncio"),
        ("--websocket-max-message-size 1024", "ws_max_size", 1024),
        ("--no-control-socket", "control", "off"),
        ("--capture-output", "capture_output", True),
        ("--header-map refuse", "header_map", "refuse"),
    ],
)
def test_flags_of_gunicorn_are_options(words: str, option: str, value: object) -> None:
    assert configured(words).settings[option].value == value


@pytest.mark.case("F8")
@pytest.mark.parametrize("words", ["--preload", "--proxy-protocol", "--initgroups", "-R", "--capture-output"])
def test_bare_switches_leave_the_word_behind_them_alone(words: str) -> None:
    layers = flags.parse([*words.split(), "--workers", "2"], "test")
    assert layers["workers"].texts == ("2",)


@pytest.mark.case("C2")
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"workers": [1, 2]}, "gunicorn.conf.py: workers: takes one value, got [1, 2]"),
        ({"worker_class": "eventlet"}, "gunicorn.conf.py: worker_class: eventlet is not maintained"),
        ({"worker_class": "site.workers.Own"}, "worker_class: site.workers.Own is a worker class for"),
        ({"logger_class": "egg:own#it"}, "logger_class: name the class behind egg:own#it as package.module"),
        ({"umask": "x"}, "gunicorn.conf.py: umask: must be a number such as 0o022, got 'x'"),
        ({"http_protocols": "h3", "spew": True}, "http_protocols: must be h1, h2 or both, got 'h3'"),
        ({"http_protocols": "h3", "spew": True}, "spew: use a debugger"),
    ],
)
def test_wrong_values_are_named_all_at_once(values: Mapping[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        file(**values)
    assert problem in str(error.value)


def test_each_option_that_a_setting_names_is_in_the_table() -> None:
    options: list[Option[object]] = [
        one.fate.option for one in SETTINGS.values() if isinstance(one.fate, Taken)
    ]
    assert all(option in OPTIONS for option in options)
