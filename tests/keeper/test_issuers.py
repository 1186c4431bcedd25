# Names that a public CA could certify.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper import issuers
from bigtop.keeper.local import local_names


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "*.example.com",
        "a-b.c1.example.co",
        "xn--bcher-kva.example.com",
        "8.8.8.8",
        "2606:4700::1",
    ],
)
def test_public_names(name: str) -> None:
    assert issuers.problem(name) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("localhost", "is no name of a host"),
        ("shop.localhost", "no public CA certifies names below .localhost"),
        ("a.test", "no public CA certifies names below .test"),
        ("printer.local", "no public CA certifies names below .local"),
        ("10.0.0.1", "no public CA certifies an address that is not public"),
        ("::1", "no public CA certifies an address that is not public"),
        ("bücher.de", "others than ASCII are written as xn--"),
        *(
            (name, "is no name of a host")
            for name in ("", "*", "a..com", "-a.com", "a_b.com", "a.com\n", "*.*.com")
        ),
        ("a" * 64 + ".com", "is no name of a host"),
        ("a." * 130 + "com", "is no name of a host"),
        ("1.2.3.4.5", "is no name of a host"),
    ],
)
def test_others(name: str, words: str) -> None:
    assert words in issuers.problem(name)


@given(st.from_regex(r"([a-z0-9*-]{1,5}\.)*([a-z0-9-]{1,9})|[0-9.]{1,15}|[0-9a-f:]{1,20}", fullmatch=True))
def test_no_name_is_public_and_local(name: str) -> None:
    assert issuers.problem(name) or local_names.problem(name)
