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
    "backends/asgi/clients",
    "backends/asgi/client_connection",
    "backends/asgi/timers",
    "backends/asgi/connection",
    "backends/asgi/websocket_call",
    "backends/asgi/eager_tasks",
    "backends/asgi/body_queue",
    "backends/asgi/metrics",
    "backends/asgi/new_call",
    "backends/asgi/proxied_connection",
    "backends/asgi/routed_connection",
    "backends/asgi/context",
    "backends/asgi/file_messages",
    "backends/asgi/filtered_call",
    "backends/asgi/stream",
    "backends/asgi/waiters",
    "backends/asgi/websocket",
    "backends/asgi/buffered_transport",
    "backends/asgi/transport_events",
    "backends/adapters/asgi_meter",
    "backends/adapters/metrics",
    "backends/asgi/connection_factory",
    "backends/native/acceptor",
    "backends/native/deadline",
    "backends/native/engines",
    "backends/native/timeouts",
    "backends/native/tls",
    "backends/native/tls_contexts",
    "backends/native/client_limits",
    "backends/native/file_answers",
    "backends/native/handler_chain",
    "backends/native/metrics",
    "backends/native/transport",
    "backends/native/transports",
    "backends/adapters/wsgi_meter",
    "backends/wsgi/admission",
    "backends/wsgi/body",
    "backends/wsgi/call",
    "backends/wsgi/connections",
    "backends/wsgi/connection",
    "backends/wsgi/connection_factory",
    "backends/wsgi/executor",
    "backends/wsgi/overdue",
    "backends/wsgi/greenlet_executor",
    "backends/wsgi/metrics",
    "backends/wsgi/event_loop",
    "backends/wsgi/request_flow",
    "backends/wsgi/stream",
    "backends/wsgi/context",
    "backends/wsgi/thread_executor",
    "backends/wsgi/worker_handoff",
    "system/clock",
    "http/asgi",
    "http/chunked",
    "http/clienthello",
    "http/close_codes",
    "http/conditions",
    "http/declarations",
    "http/engine",
    "http/filtered",
    "http/forwarded",
    "http/handlers",
    "http/head",
    "http/keep_alive",
    "http/memo",
    "http/messages",
    "http/path_patterns",
    "http/paths",
    "http/peer",
    "http/policy",
    "http/proxyprotocol",
    "http/requestid",
    "http/response",
    "http/routes",
    "http/scope",
    "http/secure",
    "http/static",
    "http/tls_session",
    "http/wsgi",
    "ipc/histogram",
    "ipc/route_counts",
    "ipc/scoreboard",
    "workers/life",
    "workers/request_quota",
)
# Packages that we need are not there while this is built: what hangs on them has no types. The project's own
# strictness is for those who change it, and for the mypy they have.
LENIENT = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


def wanted() -> bool:
    """Whether this run makes what is going to be installed, and may compile."""
    builds = {"bdist_wheel", "build", "build_ext", "install"} & set(sys.argv)
    return bool(builds) and not os.environ.get("BIGTOP_PURE") and sys.implementation.name == "cpython"


def announce() -> None:
    """Say what takes so long. pip keeps what a build writes to itself, so the terminal is told as well."""
    line = (
        f"bigtop: compiling {len(HOT)} modules, about 3 minutes on one core; "
        "BIGTOP_PURE=1 leaves them as they are"
    )
    print(line, file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        with suppress(OSError), open("/dev/tty", "w") as terminal:
            print(f"\n{line}", file=terminal)


def extensions() -> list[Extension]:
    """Return the extensions, made of C that mypyc writes now; none when it cannot."""
    try:
        from mypyc.build import mypycify

        announce()
        paths = [f"bigtop/{name}.py" for name in HOT]
        compiled = list(mypycify([*LENIENT, *paths], group_name="bigtop", opt_level="2", debug_level="0"))
    except (ImportError, SystemExit) as error:
        print(f"bigtop stays pure Python: {error}", file=sys.stderr)
        return []
    for extension in compiled:
        # mypyc names every function as if other libraries called it. Known to be nobody else's, they are
        # called directly and take part in inlining, and there is less to relocate when a process loads them.
        extension.extra_compile_args = [*extension.extra_compile_args, "-fvisibility=hidden"]
    return compiled


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
