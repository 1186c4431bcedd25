# Command lines as they are split without click: never otherwise than click does it.

from __future__ import annotations

from collections.abc import Sequence

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.config.gunicorn.flags import FLAGS
from bigtop.config.serve import flags
from bigtop.config.serve.options import OPTIONS

COMMAND = click.Command(
    "serve",
    params=[*flags.parameters(), click.Argument(["words"], nargs=-1)],
    add_help_option=False,
)
KNOWN = sorted({flag for option in OPTIONS for flag in option.flags} | FLAGS)
SHORT = [flag for flag in KNOWN if len(flag) == 2]
VALUES = ("", "-", "--", "2", "-2", "a:app", "127.0.0.1:80", "--workers", "-w", "x=y", "on", "é", "\udcff")
STRANGE = ["--no-daemon", "--no-workers", "--work", "-Dw", "-Dw3", "-h", "--help", "-Z"]


def by_click(argv: Sequence[str]) -> tuple[list[str], dict[str, object]] | None:
    try:
        params = COMMAND.make_context("serve", list(argv)).params
    except click.UsageError:
        return None
    words = list(params.pop("words"))
    return words, {name: value for name, value in params.items() if value not in (None, ())}


WORDS = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(VALUES),
    st.sampled_from(STRANGE),
    st.builds("{}={}".format, st.sampled_from([*KNOWN, "--work", "--"]), st.sampled_from(VALUES)),
    st.builds("{}{}".format, st.sampled_from(SHORT), st.sampled_from(VALUES)),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, max_size=6))
def test_what_is_split_is_what_click_makes_of_it(argv: list[str]) -> None:
    split = flags.split(argv)
    if split is not None:
        assert split == by_click(argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["a:app"],
        ["a:app", "-w", "2", "--bind", ":80", "-b", ":81", "--daemon", "--no-daemon"],
        ["-Dw3", "--timeout=5", "a:app", "--", "--workers"],
        ["--bind", "--workers", "a:app"],
        [],
    ],
    ids=" ".join,
)
def test_right_command_lines_need_no_click(argv: list[str]) -> None:
    found = flags.split(argv)
    assert found is not None
    assert found == by_click(argv)


@pytest.mark.parametrize("flag", KNOWN)
def test_each_flag_needs_no_click(flag: str) -> None:
    expected = by_click([flag, "1"])
    assert flags.split([flag, "1"]) == expected
    assert expected is not None


@pytest.mark.parametrize(
    "argv",
    [["--work", "2"], ["--no-such"], ["--daemon=on"], ["--workers"], ["-Z"], ["--help"], ["-h"]],
    ids=" ".join,
)
def test_wrong_ones_are_for_click(argv: list[str]) -> None:
    assert flags.split(argv) is None
