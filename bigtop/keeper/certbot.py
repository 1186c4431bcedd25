# Certificates of certbot: what is in /etc/letsencrypt/live/NAME, read, and watched for what is new.
#
# Rule: certbot changes its links one after the other. What was read counts only when all links said before
# and behind it that they are of one age.

from __future__ import annotations

import os
import re
from typing import Final

from bigtop.keeper import certificates, trusted
from bigtop.keeper.certificates import CertificateError, Pair

LIVE: Final = "/etc/letsencrypt/live"
_CHAIN: Final = "fullchain.pem"
_KEY: Final = "privkey.pem"
_NUMBER: Final = re.compile(r"[0-9]+(?=\.pem$)")
_TRIES: Final = 3


def read(folder: str) -> Pair:
    """Return the pair of a folder. Raises CertificateError, also while certbot changes it."""
    for _ in range(_TRIES):
        before = stamp(folder)
        chain, key = _text(folder, _CHAIN), _text(folder, _KEY)
        if before == stamp(folder) and len({number for number, *_ in before}) == 1:
            return certificates.read(chain, key, os.path.join(folder, _CHAIN), os.path.join(folder, _KEY))
    raise CertificateError(f"{folder}: {_CHAIN} and {_KEY} are of different ages: certbot is at work there")


def stamp(folder: str) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a certificate is renewed: the number that its links have, inode and time."""
    found = []
    for name in (_CHAIN, _KEY):
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
            number = _NUMBER.search(os.readlink(path)) if os.path.islink(path) else None
        except OSError as error:
            raise CertificateError(f"{path}: {error.strerror}") from None
        found.append((number[0] if number else "", status.st_ino, status.st_mtime_ns))
    return tuple(found)


def _text(folder: str, name: str) -> bytes:
    path = os.path.join(folder, name)
    try:
        return trusted.read(path, path, (0, os.geteuid()), is_private=False)
    except FileNotFoundError:
        raise CertificateError(f"{path}: No such file or directory") from None
