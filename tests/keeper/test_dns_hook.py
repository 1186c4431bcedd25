# Programs that change the DNS: how they are called, and what becomes of what they say.

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.ordering.dns_hook import DnsHook
from tests.support.site import until

ONE = Challenge("dns-01", "example.com", "token", "token.thumbprint")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)
    return str(path)


@pytest.mark.parametrize(
    ("style", "present", "cleanup"),
    [
        ("lego", "present _acme-challenge.example.com. VALUE", "cleanup _acme-challenge.example.com. VALUE"),
        ("dehydrated", "deploy_challenge example.com token VALUE", "clean_challenge example.com token VALUE"),
    ],
)
def test_arguments(tmp_path: Path, style: str, present: str, cleanup: str) -> None:
    hook = DnsHook(script(tmp_path / "hook", 'echo "$*" >>"$0.log"'), style)
    assert hook.present(ONE) == hook.cleanup(ONE) == ""
    value = challenges.txt_record(ONE)[1]
    lines = Path(f"{hook.program}.log").read_text().splitlines()
    assert lines == [present.replace("VALUE", value), cleanup.replace("VALUE", value)]


def test_what_goes_wrong_is_said(tmp_path: Path) -> None:
    missing = DnsHook(str(tmp_path / "missing"))
    assert missing.present(ONE) == f"{missing.program}: No such file or directory"
    failing = DnsHook(script(tmp_path / "failing", 'echo first >&2; printf "no\\033[1m key" >&2; exit 7'))
    assert failing.present(ONE) == f"{failing.program} present: exit status 7: no\\x1b[1m key"
    silent = DnsHook(script(tmp_path / "silent", "exit 1"))
    assert silent.cleanup(ONE) == f"{silent.program} cleanup: exit status 1: it says nothing"


def test_one_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)  # who opens it waits for ever
    program = script(tmp_path / "slow", f"(read x <{gate}) & read x <{gate}")
    hook = DnsHook(program, patience=0.5)
    assert hook.present(ONE) == f"{program} present: took longer than 0.5 seconds"
    until(lambda: _waits_for_nobody(gate), "the end of all of them")


def _waits_for_nobody(gate: Path) -> bool:
    try:
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.ENXIO
    return False
