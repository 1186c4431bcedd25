# Users and groups of the system: looked up by name or number, and become.
#
# Rules: a user's own group stands in for a group that is not given, and the further groups are those that the
# system lists for that user (initgroups(3)). A number that the system does not know has no group of its own:
# who is to become it needs a group as well, or would go on with those of this process, which may be root's.
# Nobody keeps further groups of this process.

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence

from bigtop.record import Record

_NUMBER = re.compile(r"[0-9]{1,10}")
_UNCHANGED = 2**32 - 1  # the number that setuid(2) and chown(2) take for "as it is"


class Account(Record):
    """Who a process is to be, in numbers; None leaves things as they are."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()  # further ones
    home: str | None = None


def uid_of(user: str) -> int:
    """Return the number of a user; LookupError says that there is none."""
    try:
        return _number(user) if _NUMBER.fullmatch(user) else pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):  # ValueError: a NUL byte
        raise LookupError(f"there is no user {user!r} on this machine{_pair(user)}") from None


def gid_of(group: str) -> int:
    """Return the number of a group; LookupError says that there is none."""
    try:
        return _number(group) if _NUMBER.fullmatch(group) else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise LookupError(f"there is no group {group!r} on this machine") from None


def account(user: str | None, group: str | None, group_option: str) -> Account:
    """Return who `user` and `group` are; LookupError says what is missing. `group_option` names the option
    that a group is given by."""
    gid = None if group is None else gid_of(group)
    if user is None:
        return Account(gid=gid)
    uid = uid_of(user)
    try:
        entry = pwd.getpwuid(uid) if _NUMBER.fullmatch(user) else pwd.getpwnam(user)
    except KeyError:
        if gid is None:
            raise LookupError(
                f"user {user} is not known on this machine and has no group of its own: add {group_option}"
            ) from None
        return Account(uid, gid, home="/")
    gid = entry.pw_gid if gid is None else gid
    return Account(uid, gid, tuple(os.getgrouplist(entry.pw_name, gid)), entry.pw_dir)


def become(uid: int | None, gid: int | None, groups: Sequence[int]) -> None:
    """Be these from now on; PermissionError where that takes rights that this process has not."""
    # Groups go before the user: afterwards there is no right to change them.
    if gid is not None:
        if os.geteuid() == 0:
            os.setgroups(groups)
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)


def may_read(account: Account, path: str) -> bool:
    """Whether who is `account` may read a file, as far as modes tell; False where it cannot be found."""
    if account.uid == 0:
        return True
    try:
        return _may(account, path, stat.S_IROTH) and all(
            _may(account, one, stat.S_IXOTH) for one in _folders_above(path)
        )
    except OSError:
        return False


def may_enter(account: Account, folder: str) -> bool:
    """Whether who is `account` may open what lies in a folder, as far as modes tell, if the folder is
    there."""
    return account.uid == 0 or all(
        not os.path.isdir(one) or _may(account, one, stat.S_IXOTH)
        for one in (folder, *_folders_above(folder))
    )


def _folders_above(path: str) -> Iterator[str]:
    """Yield the folders on the way to a file, the nearest first."""
    before = path
    while (folder := os.path.dirname(before)) not in ("", before):
        yield folder
        before = folder
    if not folder:  # the path is a relative one
        yield "."


def _may(account: Account, path: str, of_others: int) -> bool:
    """Whether a mode lets somebody do what `of_others` is the bit for."""
    found = os.stat(path)
    if found.st_uid == account.uid:
        return bool(found.st_mode & of_others << 6)
    if found.st_gid == account.gid or found.st_gid in account.groups:
        return bool(found.st_mode & of_others << 3)
    return bool(found.st_mode & of_others)


def _number(text: str) -> int:
    if int(text) >= _UNCHANGED:
        raise ValueError("no number of a user or a group")
    return int(text)


def _pair(user: str) -> str:
    return "; the group is an option of its own" if ":" in user else ""
