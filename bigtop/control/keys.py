# CURVE keys in files: in the format of ZeroMQ's own tools (zmq.auth, czmq), with a role beside the key.
#
# Rule: a secret key is made readable for its owner alone before anything is in it.

from __future__ import annotations

import os
import re
from pathlib import Path

import zmq
from zmq.utils.z85 import encode as z85_encode

from bigtop.errors import ConfigError
from bigtop.record import Record

PUBLIC, SECRET = ".key", ".key_secret"

_ENTRY = re.compile(r'^\s*(public-key|secret-key|role)\s*=\s*"([^"\n]*)"', re.MULTILINE)
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class KeyPair(Record):
    """`public` and `secret` in Z85, 40 characters."""

    public: str
    secret: str | None = None
    role: str = ""


def generate(folder: Path, name: str, role: str) -> tuple[Path, Path]:
    """Make NAME.key, for the other side, and NAME.key_secret, for nobody else; return both."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    paths = folder / (name + PUBLIC), folder / (name + SECRET)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(paths[1], 0o600, _text(role, public, secret))
        _write(paths[0], 0o644, _text(role, public, None))
    except FileExistsError as error:
        raise ConfigError(
            f"{error.filename} is there already: choose another name, or move it away"
        ) from None
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from None
    return paths


def read(path: Path) -> KeyPair:
    """Read a public or a secret key file."""
    try:
        entries = dict(_ENTRY.findall(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    for entry in ("public-key", "secret-key"):
        if entry in entries and not _Z85.fullmatch(entries[entry]):
            raise ConfigError(f"{path}: {entry} is no key of 40 characters in Z85")
    if "public-key" not in entries:
        raise ConfigError(f'{path}: no line public-key = "..."; make keys with bigtop ctl keygen')
    return KeyPair(entries["public-key"], entries.get("secret-key"), entries.get("role", ""))


def public_of(word: str) -> str:
    """Return a public key that is given as such, or as the path of its file."""
    return word if _Z85.fullmatch(word) else read(Path(word)).public


def read_secret(path: Path) -> KeyPair:
    key = read(path)
    if key.secret is None:
        raise ConfigError(f"{path} holds a public key only; the secret one is in NAME{SECRET}")
    return key


def _text(role: str, public: str, secret: str | None) -> str:
    lines = ["#   made by bigtop ctl keygen", "metadata", f'    role = "{role}"', "curve"]
    lines.append(f'    public-key = "{public}"')
    if secret is not None:
        lines.append(f'    secret-key = "{secret}"')
    return "\n".join(lines) + "\n"


def _write(path: Path, mode: int, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


def z85(raw: bytes) -> str:
    """Return 32 raw bytes as ZeroMQ hands them over in Z85; "" for any other number of them."""
    return z85_encode(raw).decode() if len(raw) == 32 else ""
