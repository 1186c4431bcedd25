# Credentials of a systemd service: files of TLS that its user may not read, of which it is given copies
# (systemd.exec(5), LoadCredential=).
#
# Rule: what the user may read is left where it is, since Bigtop reads it again when it changes. A copy is
# made when the service starts, and stays as it is.

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Final

from bigtop.config.serve import options as o
from bigtop.config.serve.tls_sources import TlsSources
from bigtop.system import accounts

FOLDER: Final = "%d"  # systemd's word for where the copies are
_PLACE: Final = "@credentials@"  # stands for that while words are quoted
_OF_FILES: Final = "files:"
_FLAGS: Final = frozenset(
    flag for one in (o.TLS, o.CERTFILE, o.KEYFILE, o.CLIENT_CA, o.CLIENT_CRL) for flag in one.flags
)


def paths_of(sources: TlsSources) -> list[str]:
    """Return the files that are named."""
    found = [path for one in sources.files for path in one]
    return [*dict.fromkeys(found), *filter(None, (sources.client_ca, sources.client_crl))]


def unreadable(paths: Iterable[str], user: str) -> list[str]:
    """Return those that a user may not read, as far as modes tell."""
    try:
        account = accounts.account(user, None, "--user")
    except LookupError:
        return list(paths)
    return [path for path in paths if not accounts.may_read(account, path)]


def handed_over(words: Sequence[str], paths: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return a command line in which copies stand for those of `paths` that it names, for placed(), and the
    paths by the names of the copies."""
    names: dict[str, str] = {}
    for path in paths:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", os.path.basename(path))
        names[path] = name if name not in names.values() else f"{len(names)}-{name}"

    copies: dict[str, str] = {}

    def moved(path: str) -> str:
        whole = os.path.abspath(path)
        if whole not in names:
            return path
        copies[names[whole]] = whole
        return f"{_PLACE}/{names[whole]}"

    def with_copies(value: str) -> str:
        kind = _OF_FILES if value.startswith(_OF_FILES) else ""
        return kind + ",".join(map(moved, value.removeprefix(kind).split(",")))

    changed, is_value = [], False
    for word in words:
        flag, equals, value = word.partition("=")
        if is_value:
            changed.append(with_copies(word))
        elif flag in _FLAGS and equals:
            changed.append(f"{flag}={with_copies(value)}")
        else:
            changed.append(word)
        is_value = not is_value and word in _FLAGS
    return changed, copies


def placed(command: str) -> str:
    """Return a command line, quoted as systemd reads it, with the folder of the copies."""
    return command.replace(_PLACE, FOLDER)
