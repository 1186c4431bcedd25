# A fork server's way back to before the import of the application.
#
# An import may start threads and open sockets, which a fork would break. exec(3) ends both, and what becomes
# of the process then has to be as if there had been no import: the same environment, folder, umask and
# signals. Rule: everything is kept in mind before the import, the exec itself included, for an application
# may change any of it (debuggers wrap os.execv, for one).

from __future__ import annotations

import os
import sys
from os import chdir, execve, getcwd, memfd_create, set_inheritable, umask
from os import write as _write

from bigtop.record import Record, replace
from bigtop.system import kernel
from bigtop.workers.bootstrap import Bootstrap


class Reexec(Record):
    """What a fork server needs to start over."""

    program: str
    words: tuple[str, ...]  # of the interpreter: -P -m bigtop.workers.forkserver
    control: int
    generation: str
    bootstrap: Bootstrap
    environ: dict[str, str]
    folder: str
    umask: int

    @classmethod
    def prepared(cls, argv: list[str], control: int, bootstrap: Bootstrap) -> Reexec:
        """Keep in mind how things are; the identity was assumed, and is not to be once more."""
        mask = umask(0o077)
        umask(mask)
        settled = replace(bootstrap, identity=replace(bootstrap.identity, chdir=None, umask=None))
        words = tuple(sys.orig_argv[1:4])
        return cls(sys.executable, words, control, argv[3], settled, dict(os.environ), getcwd(), mask)

    def start_over(self, reason: str) -> None:
        """Become a fork server that did not import the application; OSError if that cannot be."""
        orders = memfd_create("bigtop-bootstrap", 0)
        _write(orders, self.bootstrap.encode())
        for fd in (self.control, *self.bootstrap.descriptors()):
            set_inheritable(fd, True)
        if getcwd() != self.folder:  # it may have been entered with rights that are gone now
            chdir(self.folder)
        umask(self.umask)
        kernel.reset_signals()
        words = [self.program, *self.words, str(self.control), str(orders), self.generation, reason]
        execve(self.program, words, self.environ)  # noqa: S606
