# Log lines about watchers.
#
# Rule: these lines are an interface. Operators grep for them and the tests wait for them; they are listed in
# docs/reference/logs.md. Pure: a notice in, a level and a text out.

from __future__ import annotations

import logging
from collections.abc import Sequence

from bigtop.errors import one_line
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.certificate_notices import (
    CertificateEnds,
    CertificateFailed,
    CertificateRenewed,
)


def line(
    name: str, notice: messages.Notice, last_words: Sequence[str] = (), noun: str = "worker"
) -> tuple[int, str]:
    """Return the logging level and the text for `notice` of the watcher `name`.

    `last_words` is what the process that died wrote last to its stderr; `noun` is what its processes are:
    a "worker" of an application, or a "process".
    """
    match notice:
        case messages.Started():
            return logging.INFO, f"{name}: started"
        case messages.Stopped():
            return logging.INFO, f"{name}: stopped"
        case messages.Verify() | messages.Passed() | messages.Reloaded() | messages.ReloadFailed():
            return _of_reload(name, notice, noun)
        case messages.Finished():
            return logging.INFO, f"{name}: every process has ended, and none is started again"
        case messages.GaveUp(reason):
            return logging.CRITICAL, f"{name}: gave up: {reason}"
        case messages.Report(_, reason, due):
            outcome = "a worker is stuck" if due is None else "a worker is stuck and is replaced"
            return logging.ERROR, f"{name}: {outcome}: {reason}"
        case messages.Died():
            return logging.ERROR, _died(f"{name}: {noun}", notice, last_words)
        case (
            messages.NotSpawned()
            | messages.Short()
            | messages.Left()
            | messages.Degraded()
            | messages.HookRan()
        ):
            return _trouble(name, notice)
        case messages.Reforking() | messages.Reforked() | messages.NotReforked():
            return _of_refork(name, notice, noun)
        case messages.Lost() | messages.Recovered() | messages.NotRecovered() | messages.Unchecked():
            return _of_recovery(name, notice, noun)
        case CertificateRenewed() | CertificateFailed() | CertificateEnds():
            return _of_certificate(name, notice)
        case _:
            return _progress(name, notice)


def _of_reload(
    name: str,
    notice: messages.Verify | messages.Passed | messages.Reloaded | messages.ReloadFailed,
    noun: str,
) -> tuple[int, str]:
    match notice:
        case messages.Verify(_, generation, step):
            return logging.INFO, f"{name}: generation {generation}: {step.value} begins"
        case messages.Passed(generation, step, how):
            return logging.INFO, f"{name}: generation {generation} passed its {step.value}: {how}"
        case messages.Reloaded(generation):
            return logging.INFO, f"{name}: reloaded, every {noun} is of generation {generation} now"
        case messages.ReloadFailed(generation, kept, reason):
            return logging.ERROR, (
                f"{name}: reload failed, generation {generation} cannot run and {kept} goes on: {reason}"
            )


def _of_refork(
    name: str, notice: messages.Reforking | messages.Reforked | messages.NotReforked, noun: str
) -> tuple[int, str]:
    match notice:
        case messages.Reforking(wid, generation):
            return logging.INFO, f"{name}: {noun} {wid} is to be the fork server of generation {generation}"
        case messages.Reforked(generation, wid):
            return logging.INFO, (
                f"{name}: reforked, every {noun} is of generation {generation} now, "
                f"forked from what was {noun} {wid}"
            )
        case messages.NotReforked(generation, kept, reason):
            return logging.WARNING, (
                f"{name}: not reforked, there is no generation {generation} and {kept} goes on: {reason}"
            )


def _of_recovery(
    name: str,
    notice: messages.Lost | messages.Recovered | messages.NotRecovered | messages.Unchecked,
    noun: str,
) -> tuple[int, str]:
    match notice:
        case messages.Lost(generation, reason, True):
            return logging.WARNING, f"{name}: generation {generation} is kept no more: {reason}"
        case messages.Lost(generation, reason):
            return logging.ERROR, (
                f"{name}: generation {generation} has no fork server any more, its {noun}s go on, "
                f"and the code on the disk is tried: {reason}"
            )
        case messages.Recovered(generation):
            return logging.INFO, f"{name}: recovered, every {noun} is of generation {generation} now"
        case messages.NotRecovered(generation, _, reason, wait):
            again = "and no other one is tried" if wait is None else f"another one is tried in {wait:g} s"
            return logging.ERROR, (
                f"{name}: not recovered, generation {generation} cannot run, {again}: {reason}"
            )
        case messages.Unchecked(generation, lost):
            return logging.WARNING, (
                f"{name}: no {noun} of generation {lost} is left, "
                f"so generation {generation} serves without its checks"
            )


_Trouble = messages.NotSpawned | messages.Short | messages.Left | messages.Degraded | messages.HookRan
_Progress = (
    messages.Born
    | messages.Signalled
    | messages.Reaped
    | messages.Updated
    | messages.Added
    | messages.Removed
    | messages.Scaled
)


def _trouble(name: str, notice: _Trouble) -> tuple[int, str]:
    match notice:
        case messages.NotSpawned(wid, reason):
            return logging.DEBUG, f"{name}: no process {wid}: {reason}"  # Died says so, and what follows
        case messages.Short(""):
            return logging.INFO, f"{name}: there is room again for all processes"
        case messages.Short(reason):
            return logging.ERROR, f"{name}: processes wait until there is room for them: {reason}"
        case messages.Left(_, pids):
            return logging.ERROR, f"{name}: these could not be ended: {', '.join(map(str, pids))}"
        case messages.Degraded(reason):
            return logging.WARNING, f"{name}: {reason}"
        case messages.HookRan(hook, "", ""):
            return logging.DEBUG, f"{name}: hook {hook} succeeded"
        case messages.HookRan(hook, "", refusal):
            return logging.WARNING, f"{name}: hook {hook} refused: {refusal}"
        case messages.HookRan(hook, error):
            return logging.ERROR, f"{name}: hook {hook} failed: {error}"


def _progress(name: str, notice: _Progress) -> tuple[int, str]:
    match notice:
        case messages.Updated(fields, reason) if reason:
            return logging.ERROR, (
                f"{name}: {', '.join(fields)} changed back, what was described before counts again: {reason}"
            )
        case messages.Updated(fields):
            return logging.INFO, f"{name}: {', '.join(fields)} changed"
        case messages.Added() | messages.Removed():
            return logging.INFO, f"{name}: {type(notice).__name__.lower()}"
        case messages.Scaled(before, count, reason):
            return logging.INFO, f"{name}: {count} processes instead of {before}: {reason}"
        case messages.Born(_, wid, pid):
            return logging.DEBUG, f"{name}: process {wid} is pid {pid}"
        case messages.Signalled(_, pid, signum):
            return logging.DEBUG, f"{name}: signal {signum} to pid {pid}"
        case messages.Reaped(_, wid, pid, status):
            return logging.DEBUG, f"{name}: process {wid}, pid {pid}, ended with {status}"


def _of_certificate(
    name: str,
    notice: CertificateRenewed | CertificateFailed | CertificateEnds,
) -> tuple[int, str]:
    names = one_line(", ".join(notice.names))
    match notice:
        case CertificateRenewed():
            return logging.INFO, f"{name}: there is a new certificate for {names}"
        case CertificateFailed(_, reason, hints):
            return (
                logging.ERROR,
                f"{name}: no certificate for {names}: {one_line('; '.join((reason, *hints)))}",
            )
        case CertificateEnds(_, days):
            return logging.WARNING, f"{name}: the certificate for {names} has {days} days left"


def _died(who: str, died: messages.Died, last_words: Sequence[str]) -> str:
    text = f"{who} {died.wid} died with {died.status}"
    if died.reason:
        text = f"{who} {died.wid} could not be started: {died.reason}"
    elif not died.was_ready:
        text += " before it was ready"
    if died.killed:
        text += f" (killed: {died.killed})"
    if died.wait is not None and died.is_stalled:
        text += "; replaced when there is a fork server again"
    elif died.wait is None:
        text += "; it is not replaced"
    elif died.wait == 0:
        text += "; replaced at once"
    else:
        text += f"; {died.deaths} deaths in a row, replaced in {died.wait:g} s"
    if last_words and died.wait != 0 and not died.reason:
        text += "; its last words:\n" + "\n".join(last_words)
    return text
