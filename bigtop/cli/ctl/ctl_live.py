# Repetition and files of `bigtop ctl requests --watch` and `bigtop ctl profile`.

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bigtop.cli.ctl import ctl_inspect, flamegraph
from bigtop.cli.ctl.ctl_target import Target
from bigtop.errors import ConfigError

_EVERY = 1.0  # seconds
_CLEAR = "\033[H\033[J"


def watch(target: Target, word: str, properties: dict[str, Any]) -> int:
    """Ask and print again and again, until it is interrupted or nobody answers; return the exit status."""
    while True:
        began = time.monotonic()
        if not target.as_json and sys.stdout.isatty():
            click.echo(_CLEAR, nl=False)
        if status := target.run(word, properties):
            return status
        if not target.as_json:
            click.echo()
        time.sleep(max(0.0, _EVERY - (time.monotonic() - began)))


def profile(target: Target, properties: dict[str, Any], output: Path | None) -> int:
    """Have a worker profiled, print what is hot, and write NAME.svg and NAME.txt; return the exit status."""
    written: list[Path] = []

    def save(reply: Mapping[str, Any]) -> None:
        name = output or Path(f"profile-{reply['watcher'].replace('/', '-')}-{reply['wid']}")
        title = f"{reply['worker']} (pid {reply['pid']}): {reply['looks']} looks in {reply['seconds']} s"
        for suffix, text in (
            (".svg", flamegraph.svg(reply["stacks"], title)),
            (".txt", ctl_inspect.collapsed(reply["stacks"])),
        ):
            path = name.with_name(name.name.removesuffix(".svg") + suffix)
            try:
                path.write_text(text)
            except OSError as error:
                raise ConfigError(f"--output {path}: {error.strerror}") from error
            written.append(path)

    status = target.run("profile", properties, save)
    if written and not target.as_json:
        click.echo(f"\nwritten: {', '.join(map(str, written))}")
    return status
