# Trust stores: where programs of this machine look which roots they trust, and how one gets in and out.
#
# Rules: nothing is changed but what has our name. What we may not do, or have no program for, is said as the
# command that does it.

from __future__ import annotations

import glob
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bigtop.errors import one_line
from bigtop.record import Record

_PATIENCE: Final = 120.0  # seconds for a program that updates a store


class Outcome(Record):
    """What became of one store; `typed` is a command for a person, where we could not do it."""

    store: str
    is_done: bool
    typed: str = ""
    trouble: str = ""


class SystemStore(Record):
    """A folder of PEM files, and the program that makes of them what OpenSSL, curl and Python read."""

    folder: str
    command: tuple[str, ...]
    title: str = "the system"

    @property
    def is_there(self) -> bool:
        return os.path.isdir(self.folder) and shutil.which(self.command[0]) is not None

    def add(self, name: str, path: str) -> Outcome:
        file = os.path.join(self.folder, f"{name}.crt")
        typed = (
            f"sudo install -m 644 {shlex.quote(path)} {shlex.quote(file)} && sudo {shlex.join(self.command)}"
        )
        if not os.access(self.folder, os.W_OK):
            return Outcome(self.title, is_done=False, typed=typed)
        try:
            shutil.copyfile(path, file)
            os.chmod(file, 0o644)
        except OSError as error:
            return Outcome(self.title, is_done=False, typed=typed, trouble=f"{file}: {error.strerror}")
        return self._updated(typed)

    def remove(self, name: str) -> Outcome | None:
        """Return None if the root is not in it."""
        file = os.path.join(self.folder, f"{name}.crt")
        if not os.path.exists(file):
            return None
        typed = f"sudo rm {shlex.quote(file)} && sudo {shlex.join(self.command)}"
        if not os.access(self.folder, os.W_OK):
            return Outcome(self.title, is_done=False, typed=typed)
        os.unlink(file)
        return self._updated(typed)

    def has(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.folder, f"{name}.crt"))

    def _updated(self, typed: str) -> Outcome:
        trouble = _run(self.command)
        return Outcome(self.title, is_done=not trouble, typed=typed if trouble else "", trouble=trouble)


class NssStore(Record):
    """A database of NSS: that of Chromium, or of a profile of Firefox."""

    folder: str
    title: str

    def add(self, name: str, path: str) -> Outcome:
        return self._done("-A", "-t", "C,,", "-n", name, "-i", path)

    def remove(self, name: str) -> Outcome | None:
        """Return None if the root is not in it."""
        if shutil.which("certutil") is not None and not self.has(name):
            return None
        return self._done("-D", "-n", name)

    def has(self, name: str) -> bool:
        return shutil.which("certutil") is not None and not _run(self._command("-L", "-n", name))

    def _done(self, *words: str) -> Outcome:
        command = self._command(*words)
        if shutil.which("certutil") is None:
            trouble = "certutil is not installed (Debian: libnss3-tools, Fedora: nss-tools)"
        else:
            trouble = _run(command)
        return Outcome(self.title, not trouble, shlex.join(command) if trouble else "", trouble)

    def _command(self, *words: str) -> tuple[str, ...]:
        return ("certutil", "-d", f"sql:{self.folder}", *words)


SYSTEM_STORES: Final = (
    SystemStore("/usr/local/share/ca-certificates", ("update-ca-certificates",)),  # Debian, Ubuntu, Alpine
    SystemStore("/etc/pki/ca-trust/source/anchors", ("update-ca-trust", "extract")),  # Fedora, Red Hat
    SystemStore("/etc/pki/trust/anchors", ("update-ca-certificates",)),  # SUSE
    SystemStore("/etc/ca-certificates/trust-source/anchors", ("trust", "extract-compat")),  # Arch
)
_FIREFOX: Final = (
    ".mozilla/firefox/*/cert9.db",
    "snap/firefox/common/.mozilla/firefox/*/cert9.db",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db",
)
Store = SystemStore | NssStore


def found(environ: Mapping[str, str], systems: Sequence[SystemStore] = SYSTEM_STORES) -> Iterator[Store]:
    """Yield the stores of this machine and of a user."""
    yield from (store for store in systems if store.is_there)
    home = environ.get("HOME", "")
    if not os.path.isabs(home):
        return
    chromium = os.path.join(home, ".pki/nssdb")
    if os.path.exists(os.path.join(chromium, "cert9.db")):
        yield NssStore(chromium, "Chromium and Chrome")
    for pattern in _FIREFOX:
        for file in sorted(glob.glob(os.path.join(glob.escape(home), pattern))):
            profile = os.path.dirname(file)
            yield NssStore(profile, f"Firefox ({os.path.basename(profile)})")


def _run(command: Sequence[str]) -> str:
    """Run a program; return what it complains of, "" if it succeeds."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {_PATIENCE:.0f} seconds"
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
    return one_line(f"{command[0]}: {said[-1]}")
