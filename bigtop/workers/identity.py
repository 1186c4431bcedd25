# Who and where an application is: user, group, umask, folder, environment, module search path.
#
# Rule: the order matters. The folder is entered and everything that needs privileges is done before they are
# dropped; groups go before the user, because afterwards there is no right to change them.

from __future__ import annotations

import grp
import os
import pwd
import sys

from bigtop.errors import ConfigError
from bigtop.workers.bootstrap import Identity


def assume(identity: Identity) -> None:
    """Become `identity`; ConfigError names the setting that cannot be had."""
    os.environ.update(identity.environ)
    if identity.chdir is not None:
        try:
            os.chdir(identity.chdir)
        except OSError as error:
            raise ConfigError(f"--chdir {identity.chdir}: {error.strerror}") from error
    sys.path[:0] = [*identity.pythonpath, os.getcwd()]
    if identity.umask is not None:
        os.umask(identity.umask)
    _drop_privileges(identity.user, identity.group)


def _drop_privileges(user: str | None, group: str | None) -> None:
    uid, gid, name = resolve(user, group)
    try:
        if gid is not None and gid != os.getegid():
            if os.geteuid() == 0:
                os.setgroups([])
            os.setgid(gid)
        if uid is not None and uid != os.geteuid():
            if name is not None:
                os.initgroups(name, os.getgid())
            os.setuid(uid)
            os.environ["HOME"] = pwd.getpwuid(uid).pw_dir if name is not None else "/"
    except PermissionError as error:
        raise ConfigError(f"--user/--group: only root may become {user or group}") from error


def resolve(user: str | None, group: str | None) -> tuple[int | None, int | None, str | None]:
    """Return (uid, gid, user name); a user's own group stands in for a group that is not given."""
    uid: int | None = None
    gid: int | None = None
    name: str | None = None
    if user is not None:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        except KeyError as error:
            if not user.isdigit():
                raise ConfigError(f"--user {user}: there is no such user") from error
            uid = int(user)
    if group is not None:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError as error:
            raise ConfigError(f"--group {group}: there is no such group") from error
    return uid, gid, name
