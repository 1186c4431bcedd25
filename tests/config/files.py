# Configuration files for tests, in a directory of their own.

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from bigtop.config.file.daemon import DaemonSpec, resolve
from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import Command, WatcherSpec

ENVIRON = {"HOME": "/home/someone", "PATH": "/usr/bin:/bin", "Mixed": "case", "COUNT": "3"}


def written(directory: Path, text: str, name: str = "circus.ini") -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return str(path)


def loaded(
    directory: Path, text: str, name: str = "circus.ini", environ: Mapping[str, str] = ENVIRON
) -> DaemonSpec:
    return resolve(written(directory, text, name), environ).daemon


def only_watcher(daemon: DaemonSpec) -> WatcherSpec:
    (watcher,) = daemon.watchers
    return watcher


def command_of(watcher: WatcherSpec) -> Command:
    assert isinstance(watcher.target, Command)
    return watcher.target


def mistakes(directory: Path, text: str, name: str = "circus.ini") -> list[str]:
    """Return the lines of the error, with file names instead of paths."""
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text, name)
    assert caught.value.exit_status == 78
    return str(caught.value).replace(f"{directory}/", "").splitlines()
