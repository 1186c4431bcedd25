# DNS hooks: programs that put TXT records into the DNS and take them out again, for DNS-01.
#
# Rules: called with the arguments that scripts for lego (its provider "exec") or for dehydrated expect,
# without a shell. What a program says on stderr ends up in the message if it fails. It has a time limit.

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Final

from bigtop.errors import one_line
from bigtop.record import Record

if TYPE_CHECKING:
    from bigtop.keeper.acme.challenges import Challenge

STYLES: Final = ("lego", "dehydrated")


class DnsHook(Record):
    """A program, how its arguments are written, how long records may take to arrive, and the program."""

    program: str
    style: str = "lego"
    seconds: float = 120.0  # that are waited at most until the zone's servers have all records
    patience: float = 300.0  # seconds for one call

    def present(self, challenge: Challenge) -> str:
        """Put a record in; return what is wrong, "" if nothing is."""
        return self._call("present", "deploy_challenge", challenge)

    def cleanup(self, challenge: Challenge) -> str:
        """Take a record out; return what is wrong, "" if nothing is."""
        return self._call("cleanup", "clean_challenge", challenge)

    def _call(self, word: str, other: str, challenge: Challenge) -> str:
        from bigtop.keeper.acme import challenges  # with cryptography, for who calls it

        name, content = challenges.txt_record(challenge)
        words = [word, f"{name}.", content]
        if self.style == "dehydrated":
            words = [other, challenge.name, challenge.token, content]
        return _run([self.program, *words], self.patience)


def _run(command: list[str], patience: float) -> str:
    shown = f"{command[0]} {command[1]}"
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    try:
        _, said = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()  # which who left its session may have open for ever
        return f"{shown}: took longer than {patience:g} seconds"
    if process.returncode == 0:
        return ""
    last = (said.strip().splitlines() or ["it says nothing"])[-1]
    return one_line(f"{shown}: exit status {process.returncode}: {last[:300]}")
