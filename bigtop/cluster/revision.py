# Revision of an application: what runs, named by its hash, and what a node does before it runs. It is what
# `bigtop cluster apply FILE` reads.
#
# Rule: nothing secret is in it, and nothing of it changes: another text is another revision.

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bigtop.cluster.places import NAME
from bigtop.cluster.policy.strategy import Strategy, strategy
from bigtop.errors import ConfigError
from bigtop.record import Record

_KINDS: Final = ("folder", "git", "file", "image")
_IMAGE: Final = re.compile(r"([a-z0-9][a-zA-Z0-9._/:-]{0,254})@sha256:([0-9a-f]{64})")
_WORDS: Final = ("app", *_KINDS, "prepare", "prepare_once", "prepare_timeout", "rollout")
_NOT_HASHED: Final = "__pycache__"


class Artifact(Record):
    """What runs. `kind` is "folder" (a path on each node), "git" (a repository), "file" (a wheel, say, by
    path or https URL) or "image" (of a container, by its name); `hash` is the SHA-256 of a folder or file,
    the id of a commit, or the digest of an image in hexadecimal digits."""

    kind: str
    source: str
    hash: str

    @property
    def reference(self) -> str:
        """The name of an image with its digest, as container engines take it."""
        return f"{self.source}@sha256:{self.hash}"


class Revision(Record):
    """Times are seconds; the commands are for a shell, in the folder of the artifact, on each node or on the
    first one alone."""

    app: str
    artifact: Artifact
    prepare: str = ""
    prepare_once: str = ""
    prepare_timeout: float = 600.0


def read(path: Path) -> tuple[Revision, Strategy]:
    """Read a file. ConfigError names what is wrong in it."""
    try:
        said = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        return _revision(said, path.parent), _strategy(said)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def of_plain(said: Mapping[str, Any]) -> Revision:
    """Return what as_dict() made of one. KeyError, TypeError: it is nothing of that kind."""
    return Revision(**{**said, "artifact": Artifact(**said["artifact"])})


def _revision(said: Mapping[str, Any], folder: Path) -> Revision:
    for word in said:
        if word not in _WORDS:
            raise ConfigError(f"{word}: there is no such key; known are {', '.join(_WORDS)}")
    app = said.get("app", "")
    if not isinstance(app, str) or not NAME.fullmatch(app):
        raise ConfigError(f"app: must be the name of an application of the nodes, got {app!r}")
    kinds = [kind for kind in _KINDS if kind in said]
    if len(kinds) != 1:
        raise ConfigError(f"one of these says what runs: {', '.join(_KINDS)}")
    commands = {}
    for word in ("prepare", "prepare_once"):
        commands[word] = said.get(word, "")
        if not isinstance(commands[word], str):
            raise ConfigError(f"{word}: must be a command, got {commands[word]!r}")
    limit = said.get("prepare_timeout", 600.0)
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit <= 0:
        raise ConfigError(f"prepare_timeout: must be a number of seconds, got {limit!r}")
    return Revision(
        app, _artifact(kinds[0], said[kinds[0]], folder), **commands, prepare_timeout=float(limit)
    )


def _strategy(said: Mapping[str, Any]) -> Strategy:
    given = said.get("rollout", {})
    if not isinstance(given, dict):
        raise ConfigError("rollout: must be a table, [rollout]")
    return strategy(given)


def _artifact(kind: str, given: object, folder: Path) -> Artifact:
    if kind == "folder":
        if not isinstance(given, str):
            raise ConfigError(f"folder: must be a path, got {given!r}")
        path = os.path.abspath(folder / given)
        return Artifact(kind, path, hash_of(Path(path)))
    if kind == "image":
        image = _IMAGE.fullmatch(given) if isinstance(given, str) else None
        if image is None:
            raise ConfigError(f"image: must be NAME@sha256:DIGEST, as a tag may move; got {given!r}")
        return Artifact(kind, image[1], image[2])
    words = {"git": ("url", "commit"), "file": ("url", "sha256")}[kind]
    if not isinstance(given, dict) or set(given) != set(words) or not all(map(_is_text, given.values())):
        raise ConfigError(f"{kind}: must be a table with {' and '.join(words)}")
    source, digest = (given[word] for word in words)
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}" if kind == "git" else "[0-9a-f]{64}", digest):
        raise ConfigError(f"{kind}: {words[1]} must be a whole hash, got {digest!r}")
    if source.startswith("-"):
        raise ConfigError(f"{kind}: url must not begin with -")
    return Artifact(kind, source, digest)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def hash_of(path: Path) -> str:
    """Return the hash of a folder: names, modes and contents. ConfigError: it cannot be read."""
    if not path.is_dir():
        raise ConfigError(f"{path}: is no folder")
    total = hashlib.sha256()
    try:
        for name in sorted(_files(path)):
            one = path / name
            if one.is_symlink():
                kind, content = "l", os.readlink(one).encode()
            else:
                kind = "x" if os.access(one, os.X_OK) else "f"
                content = one.read_bytes()
            total.update(f"{kind} {len(name.encode())} {len(content)}\n{name}".encode())
            total.update(content)
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: {error.strerror}") from None
    return total.hexdigest()


def _files(path: Path) -> list[str]:
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name != _NOT_HASHED]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [os.path.relpath(os.path.join(folder, name), path) for name in (*files, *links)]
    return found
