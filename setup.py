# Compiles the modules that every request passes through, from the Python that they are (by mypyc).
#
# Rule 1: the result is the same program, only faster. So nothing is compiled where that cannot be done (no C
# compiler, no CPython) or is not wanted (BIGTOP_PURE=1), and never half of it. An editable install stays as
# it is written: compiled modules would hide what is edited beside them.
# Rule 2: the compiled program says what the written one says; `make test-compiled` tries it with the same
# tests. See "Compiled from the same source" in docs/explanation/design.md before you add a module.
#
# What else there is to know about the package is in setup.cfg.

from __future__ import annotations

import os
import sys
from contextlib import suppress

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# A class can only be derived from a compiled one by a compiled one; whoever does so is in here as well.
HOT = (
    "backends/asgi/call",
    "backends/asgi/client",
    "backends/asgi/clocks",
    "backends/asgi/connection",
    "backends/asgi/conversation",
    "backends/asgi/eager",
    "backends/asgi/inbox",
    "backends/asgi/ledger",
    "backends/asgi/routed",
    "backends/asgi/site",
    "backends/asgi/static",
    "backends/asgi/waiters",
    "backends/asgi/websocket",
    "backends/asgi/wire",
    "backends/asgimeter",
    "backends/books",
    "backends/deadlines",
    "backends/files",
    "backends/meter",
    "backends/wsgi/body",
    "backends/wsgi/call",
    "backends/wsgi/clients",
    "backends/wsgi/connection",
    "backends/wsgi/crew",
    "backends/wsgi/greenlets",
    "backends/wsgi/ledger",
    "backends/wsgi/loop",
    "backends/wsgi/service",
    "backends/wsgi/site",
    "backends/wsgi/threads",
    "backends/wsgi/visitors",
    "clock",
    "http/asgi",
    "http/chunked",
    "http/conditions",
    "http/engine",
    "http/head",
    "http/known",
    "http/messages",
    "http/proxyprotocol",
    "http/response",
    "http/routes",
    "http/scope",
    "http/static",
    "http/wsgi",
    "scoreboard",
    "workers/life",
    "workers/policy",
)
# Packages that we need are not there while this is built: what hangs on them has no types. The project's own
# strictness is for those who change it, and for the mypy they have.
LENIENT = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


def wanted() -> bool:
    """Whether this run makes what is going to be installed, and may compile."""
    builds = {"bdist_wheel", "build", "build_ext", "install"} & set(sys.argv)
    return bool(builds) and not os.environ.get("BIGTOP_PURE") and sys.implementation.name == "cpython"


def extensions() -> list[Extension]:
    """Return the extensions, made of C that mypyc writes now; none when it cannot."""
    try:
        from mypyc.build import mypycify

        paths = [f"bigtop/{name}.py" for name in HOT]
        return list(mypycify([*LENIENT, *paths], group_name="bigtop", opt_level="2", debug_level="0"))
    except (ImportError, SystemExit) as error:
        print(f"bigtop stays pure Python: {error}", file=sys.stderr)
        return []


class Build(build_ext):
    """Builds all extensions or none: they hang together."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            # Whatever the compiler, or the lack of one, came up with: there is another way.
            print(f"bigtop stays pure Python: {error}", file=sys.stderr)
            for path in self.get_outputs():
                with suppress(FileNotFoundError):
                    os.unlink(path)
            self.extensions = []


setup(ext_modules=extensions() if wanted() else [], cmdclass={"build_ext": Build})
