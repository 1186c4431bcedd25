# What the log says about watchers.
#
# Rule: these lines are an interface. Operators grep for them and the tests wait for them; they are listed in
# docs/reference/logs.md. Pure: a notice in, a level and a text out.

from __future__ import annotations

import logging
from collections.abc import Sequence

from bigtop.supervisor import messages


def line(name: str, notice: messages.Notice, last_words: Sequence[str] = ()) -> tuple[int, str]:
    """Return the logging level and the text for `notice` of the watcher `name`.

    `last_words` is what the process that died wrote last to its stderr.
    """
    match notice:
        case messages.Started():
            return logging.INFO, f"{name}: started"
        case messages.Stopped():
            return logging.INFO, f"{name}: stopped"
        case messages.Reloaded(generation):
            return logging.INFO, f"{name}: reloaded, every worker is of generation {generation} now"
        case messages.ReloadFailed(generation, kept, reason):
            return logging.ERROR, (
                f"{name}: reload failed, generation {generation} cannot run and {kept} goes on: {reason}"
            )
        case messages.GaveUp(reason):
            return logging.CRITICAL, f"{name}: gave up: {reason}"
        case messages.Report(_, reason):
            return logging.ERROR, f"{name}: a worker is stuck and is replaced: {reason}"
        case messages.Died():
            return logging.ERROR, _died(name, notice, last_words)


def _died(name: str, died: messages.Died, last_words: Sequence[str]) -> str:
    text = f"{name}: worker {died.wid} died with {died.status}"
    if died.reason:
        text = f"{name}: worker {died.wid} could not be started: {died.reason}"
    elif not died.was_ready:
        text += " before it was ready"
    if died.wait is None:
        text += "; it is not replaced"
    elif died.wait == 0:
        text += "; replaced at once"
    else:
        text += f"; {died.deaths} deaths in a row, replaced in {died.wait:g} s"
    if last_words and died.wait != 0 and not died.reason:
        text += "; its last words:\n" + "\n".join(f"    {word}" for word in last_words)
    return text
