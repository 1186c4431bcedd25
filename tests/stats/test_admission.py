# Who may ask the admin listener what.

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.stats.admin.admission import PROBES, SHORTEST, Admission, read_token

TOKEN = "a-token-of-the-tests"


@pytest.mark.parametrize(
    ("allow", "peer", "knows"),
    [
        ((), "203.0.113.9", True),
        (("*",), "203.0.113.9", True),
        (("10.0.0.0/8", "::1"), "10.9.8.7", True),
        (("10.0.0.0/8", "::1"), "::1", True),
        (("10.0.0.0/8", "::1"), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("10.0.0.0/8",), "::1", False),
        (("10.0.0.0/8",), "", True),  # by a unix socket, which has a list of its own
    ],
)
def test_addresses(allow: tuple[str, ...], peer: str, knows: bool) -> None:
    assert Admission(allow).knows(peer) is knows


@given(st.ip_addresses())
def test_an_address_allows_itself(address: object) -> None:
    assert Admission((str(address),)).knows(str(address))


@pytest.mark.parametrize(
    ("hosts", "host", "is_meant"),
    [
        ((), "", True),  # of no browser
        ((), "localhost:9101", True),
        ((), "LocalHost.", True),
        ((), "app.localhost:1", True),
        ((), "127.0.0.1:9101", True),
        ((), "10.0.0.9", True),
        ((), "[::1]:9101", True),
        ((), "evil.example", False),
        ((), "evil.example:9101", False),
        ((), "127.0.0.1.evil.example", False),
        ((), "localhost.evil.example", False),
        (("shop.internal",), "Shop.Internal:9101", True),
        (("shop.internal",), "x.shop.internal", False),
        (("*",), "evil.example", True),
    ],
)
def test_names_that_it_is_asked_under(hosts: tuple[str, ...], host: str, is_meant: bool) -> None:
    assert Admission(hosts=hosts).is_meant(host) is is_meant


@given(st.ip_addresses(), st.integers(1, 65535))
def test_no_address_is_a_name_of_somebody(address: object, port: int) -> None:
    text = f"[{address}]" if ":" in str(address) else str(address)
    assert Admission(hosts=()).is_meant(text)
    assert Admission(hosts=()).is_meant(f"{text}:{port}")


@given(st.text(max_size=30))
def test_any_text_is_meant_or_not(host: str) -> None:
    assert Admission(hosts=()).is_meant(host) in (True, False)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return str(tmp_path / "token")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer",
        f"Bearer{TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xe9",
    ],
)
def test_a_wrong_token_lets_nobody_in(said: str, file: str) -> None:
    admission = Admission((), file)
    assert not admission.lets_in("/metrics", said)
    assert all(admission.lets_in(path, said) for path in PROBES)
    assert Admission().lets_in("/metrics", said)


@pytest.mark.parametrize("said", [f"Bearer {TOKEN}", f"bearer   {TOKEN}", f"BEARER {TOKEN} "])
def test_the_token_lets_in(said: str, file: str) -> None:
    assert Admission((), file).lets_in("/status", said)


@pytest.mark.parametrize(
    "text", ["", "\n", "x" * (SHORTEST - 1), "two words of a text", "ä" * 20, "x" * 5000, "a\nb" * 9]
)
def test_what_is_no_token_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(ConfigError, match="a token is one line of 16 or more") as found:
        read_token(str(tmp_path / "token"))
    assert not text.strip() or text.strip() not in str(found.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token: No such file or directory"):
        Admission((), f"{tmp_path}/token").lets_in("/metrics", f"Bearer {TOKEN}")
