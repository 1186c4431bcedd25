# Identity of an application: user, group, umask, folder, environment, module search path.
#
# Rule: the order matters. The folder is entered and everything that needs privileges is done before they are
# dropped.

from __future__ import annotations

import os
import sys

from bigtop.errors import ConfigError
from bigtop.system import accounts
from bigtop.system.accounts import Account
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
    account = resolve(user, group)
    try:
        accounts.become(account.uid, account.gid, account.groups)
    except PermissionError as error:
        raise ConfigError(f"--user/--group: only root may become {user or group}") from error
    if account.home is not None:
        os.environ["HOME"] = account.home


def resolve(user: str | None, group: str | None) -> Account:
    """Return who the application is to be; ConfigError names what is not there."""
    try:
        return accounts.account(user, group, "--group")
    except LookupError as error:
        raise ConfigError(f"--user/--group: {error}") from error
