# Artifacts on a node: fetched, compared with their hash, prepared.
#
# Rules: a folder is complete or not there. What was fetched is used only if it is what was named. Whoever
# is cancelled, or killed, leaves no process behind: a guard ends it, and has the lock until it has.

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bigtop.cluster.revision import Artifact, Revision, hash_of
from bigtop.errors import BigtopError

_TO_FETCH: Final = 600.0  # seconds
_SHOWN: Final = 800  # characters of what a command printed last
_LARGEST: Final = 1 << 30  # bytes of a file
_TO_END: Final = 30.0  # seconds that what an agent before this one began has


class PrepareError(BigtopError):
    """A revision cannot be had here; the text says why."""


async def prepared(revision: Revision, folder: Path, facts: Mapping[str, str], *, is_first: bool) -> None:
    """Have `folder` hold the revision, ready to run. `facts` are for the environment of its commands."""
    if (folder / ".prepared").exists() or folder.is_symlink():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    async with _alone(folder.parent / ".prepare") as lock:
        await _make(revision, folder, facts, is_first=is_first, lock=lock)


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[int]:
    """Wait until nothing runs any more that an agent before this one began; yield the lock."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(_TO_END):
            while not _is_locked(lock):
                await asyncio.sleep(0.05)
        yield lock
    except TimeoutError:
        raise PrepareError(f"{path}: what was begun before does not end") from None
    finally:
        os.close(lock)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _make(
    revision: Revision, folder: Path, facts: Mapping[str, str], *, is_first: bool, lock: int
) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        await _fetch(revision.artifact, draft, lock)
        draft.rename(folder)  # first: environments of Python know where they are
        environ = {**os.environ, **facts}
        if revision.artifact.kind == "image":
            environ["BIGTOP_IMAGE"] = revision.artifact.reference
        for command in (revision.prepare, revision.prepare_once if is_first else ""):
            if command:
                words = ["/bin/sh", "-c", command]
                await _run(words, folder, environ, revision.prepare_timeout, command, lock)
        (folder / ".prepared").touch()
    except OSError as error:
        raise PrepareError(f"{error.filename or folder}: {error.strerror}") from None


async def _fetch(artifact: Artifact, draft: Path, lock: int) -> None:
    if artifact.kind == "folder":
        await asyncio.to_thread(_copy, artifact, draft)
    elif artifact.kind == "git":
        await _check_out(artifact, draft, lock)
    elif artifact.kind == "image":
        # A container engine fetches it, and compares it with its digest: `prepare` says which.
        draft.mkdir()
        (draft / "image").write_text(f"{artifact.reference}\n")
    else:
        await asyncio.to_thread(_download, artifact, draft)


def _copy(artifact: Artifact, draft: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    try:
        shutil.copytree(artifact.source, draft, symlinks=True, ignore=ignored)
    except shutil.Error as error:
        raise PrepareError(f"{artifact.source}: {error.args[0][0][2]}") from None
    if (found := hash_of(draft)) != artifact.hash:
        raise PrepareError(f"{artifact.source} is not what was named: its hash is {found}")


async def _check_out(artifact: Artifact, draft: Path, lock: int) -> None:
    draft.mkdir()
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    for words in (
        ["init", "--quiet"],
        ["fetch", "--quiet", "--depth", "1", "--", artifact.source, artifact.hash],
        ["checkout", "--quiet", "--detach", artifact.hash],  # git compares the contents with the id
    ):
        await _run(["git", *words], draft, environ, _TO_FETCH, f"git {words[0]}", lock)


def _download(artifact: Artifact, draft: Path) -> None:
    import urllib.request  # few artifacts are files

    draft.mkdir()
    name = artifact.source.rpartition("/")[2]
    total, size = hashlib.sha256(), 0
    url = artifact.source if "://" in artifact.source else f"file://{os.path.abspath(artifact.source)}"
    if not url.startswith(("https://", "file://")):
        raise PrepareError(f"{url}: must be a path, or begin with https://")
    with urllib.request.urlopen(url, timeout=60) as source, open(draft / name, "wb") as file:  # noqa: S310
        while piece := source.read(1 << 20):
            total.update(piece)
            size += len(piece)
            if size > _LARGEST:
                raise PrepareError(f"{url}: is larger than {_LARGEST >> 20} MiB")
            file.write(piece)
    if total.hexdigest() != artifact.hash:
        raise PrepareError(f"{url} is not what was named: its hash is {total.hexdigest()}")


async def _run(
    words: Sequence[str], folder: Path, environ: Mapping[str, str], limit: float, name: str, lock: int
) -> None:
    """Run a command. PrepareError with what it printed last: it failed, or took too long."""
    lifeline, line = os.pipe()
    guarded = [sys.executable, "-P", "-m", "bigtop.cluster.guard", str(lifeline), *words]
    try:
        process = await asyncio.create_subprocess_exec(
            *guarded,
            cwd=folder,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lifeline, lock),
        )
    except BaseException:  # whatever it was, nothing runs at the other end
        os.close(line)
        raise
    finally:
        os.close(lifeline)
    try:
        async with asyncio.timeout(limit):
            said, _ = await process.communicate()
    except TimeoutError:
        raise PrepareError(f"{name}: took longer than {limit:g} s") from None
    finally:
        os.close(line)
        await process.wait()
    if process.returncode != 0:
        last = said.decode(errors="replace").strip()[-_SHOWN:]
        raise PrepareError(f"{name}: ended with {process.returncode}: {last}")
