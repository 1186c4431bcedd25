# Store of a console: its secret, users, tokens, where it runs, and the audit log, in one folder.
#
# Rules: the folder is its owner's alone, and what is not so is refused (keeper/storage.py). Passwords, tokens
# and ids of sessions are not in it, only what tells whether somebody knows one. The audit log is only added
# to.

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

from bigtop.errors import BigtopError, ConfigError
from bigtop.keeper.storage import Storage
from bigtop.web.access import passwords
from bigtop.web.access.roles import ROLES
from bigtop.web.access.sessions import Person

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_LARGEST: Final = 8 << 20  # bytes of the audit log, before it is moved aside
_SHOWN: Final = 1 << 20  # bytes of it that are read


class Store:
    """Any thread, any process. Raises BigtopError: the folder cannot be had, or not be trusted."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        self._storage = Storage(path)

    def close(self) -> None:
        self._storage.close()

    @property
    def secret(self) -> bytes:
        """What one-time links are sealed with; made when it is first asked for."""
        with self._locked():
            found = self._storage.load("secret")
            if found is None:
                found = secrets.token_hex(32).encode() + b"\n"
                self._storage.store("secret", found)
        return bytes.fromhex(found.decode().strip())

    # ---- users and tokens

    def users(self) -> dict[str, dict[str, str]]:
        """Return name -> role and what is kept of the password."""
        return self._entries("users")

    def set_user(self, name: str, role: str, password: str) -> None:
        """Add a user or change one; whose password stays goes on with the sessions there are. ConfigError:
        the name or the password cannot be one."""
        _check_name(name)
        before = self.users().get(name)
        try:
            stays = before is not None and passwords.fits(password, before["password"])
            kept = before["password"] if before and stays else passwords.kept(password, os.urandom(16))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self._change("users", {name: {"role": _role(role), "password": kept}})

    def add_token(self, name: str, role: str) -> str:
        """Return a new token, which nobody is told again."""
        _check_name(name)
        if name in self._entries("tokens"):
            raise ConfigError(f"there is a token {name} already: remove it first, or choose another name")
        token = f"bigtop_{secrets.token_urlsafe(32)}"
        self._change("tokens", {name: {"role": _role(role), "digest": passwords.of_token(token)}})
        return token

    def tokens(self) -> dict[str, dict[str, str]]:
        return self._entries("tokens")

    def remove(self, kind: str, name: str) -> None:
        """Forget a user or a token (kind "users", "tokens"). ConfigError: there is none such."""
        if name not in self._entries(kind):
            raise ConfigError(f"there is no {name} among the {kind}")
        self._change(kind, {name: None})

    def person_of_token(self, token: str) -> Person | None:
        """Return whose it is; digests are looked up, not compared letter by letter with a secret."""
        digest = passwords.of_token(token)
        for name, entry in self.tokens().items():
            if secrets.compare_digest(entry["digest"], digest):
                return Person(name, entry["role"], "token")
        return None

    @property
    def changed(self) -> float:
        """When users were changed last."""
        return self._storage.changed_at("users")

    def _entries(self, kind: str) -> dict[str, dict[str, str]]:
        text = self._storage.load(kind)
        found: dict[str, dict[str, str]] = {} if text is None else json.loads(text)
        return found

    def _change(self, kind: str, changes: Mapping[str, Mapping[str, str] | None]) -> None:
        with self._locked():
            entries = {**self._entries(kind), **changes}
            kept = {name: entry for name, entry in sorted(entries.items()) if entry is not None}
            self._storage.store(kind, json.dumps(kept, indent=1).encode() + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = self._storage.open_lock("lock")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    # ---- sessions

    def sessions(self, audience: str) -> str | None:
        """Return what is kept of the sessions of a console."""
        text = self._storage.load(f"sessions/{audience}")
        return None if text is None else text.decode()

    def sessions_changed(self, audience: str) -> float:
        return self._storage.changed_at(f"sessions/{audience}")

    def keep_sessions(self, audience: str, text: str, since: float) -> float | None:
        """Keep them, and return when that was; None: somebody else changed them after `since`."""
        with self._locked():
            if self.sessions_changed(audience) != since:
                return None
            self._storage.store(f"sessions/{audience}", text.encode())
            return self.sessions_changed(audience)

    def end_sessions(self) -> None:
        """End those of all consoles with this folder, within a second."""
        with self._locked():
            for audience in self._storage.names("sessions"):
                self._storage.delete(f"sessions/{audience}")

    # ---- consoles that run

    def announce(self, audience: str, url: str) -> int:
        """Say that a console runs, as long as the descriptor is open that is returned."""
        key = f"running/{audience}"
        fd = self._storage.open_lock(f"{key}.lock")
        fcntl.flock(fd, fcntl.LOCK_SH)
        self._storage.store(key, url.encode())
        return fd

    def running(self) -> dict[str, str]:
        """Return audience -> URL of the consoles that run with this folder."""
        found = {}
        for name in self._storage.names("running"):
            if name.endswith(".lock"):
                continue
            with closing(_File(self._storage.open_lock(f"running/{name}.lock"))) as lock:
                if lock.is_held:
                    found[name] = (self._storage.load(f"running/{name}") or b"").decode()
                else:
                    self._storage.delete(f"running/{name}")
        return found

    # ---- audit

    @property
    def audit_path(self) -> str:
        return os.path.join(self.path, "audit.log")

    def audit(self, entry: Mapping[str, Any]) -> None:
        """Write who did what; OSError where that cannot be, and then it is not to be done."""
        path = self.audit_path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            if os.fstat(fd).st_size > _LARGEST:
                os.rename(path, f"{path}.1")
                os.close(fd)
                fd = os.open(path, flags, 0o600)
            os.write(fd, json.dumps(entry).encode() + b"\n")
        finally:
            os.close(fd)

    def audited(self, most: int) -> Sequence[dict[str, Any]]:
        """Return the last entries, the newest first."""
        try:
            with open(self.audit_path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _SHOWN))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in reversed(lines):
            with suppress(ValueError):  # the first one may be cut
                found.append(json.loads(line))
            if len(found) == most:
                break
        return found


class _File:
    """A file that others may have locked."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        os.close(self._fd)

    @property
    def is_held(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name: letters, digits and . _ @ - are, 64 of them at most")


def _role(role: str) -> str:
    if role not in ROLES:
        raise ConfigError(f"{role!r} is no role: {', '.join(ROLES)} are")
    return role


def count_of_users(path: str) -> int:
    """Return how many users are kept there; 0 where nothing is. Raises BigtopError: it cannot be trusted."""
    if not os.path.isdir(path):
        return 0
    try:
        with closing(Storage(path, os.geteuid())) as storage:
            text = storage.load("users")
    except OSError as error:
        raise BigtopError(f"{path}: {error.strerror}") from None
    return 0 if text is None else len(json.loads(text))
