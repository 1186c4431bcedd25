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
    "backends/asgi/calls/call",
    "backends/asgi/connections/clients",
    "backends/asgi/connections/client_connection",
    "backends/asgi/loop/timers",
    "backends/asgi/connections/connection",
    "backends/asgi/websockets/websocket_call",
    "backends/asgi/loop/eager_tasks",
    "backends/asgi/calls/body_queue",
    "backends/asgi/metrics",
    "backends/asgi/calls/new_call",
    "backends/asgi/connections/proxied_connection",
    "backends/asgi/connections/routed_connection",
    "backends/asgi/context",
    "backends/asgi/calls/file_messages",
    "backends/asgi/calls/filtered_call",
    "backends/asgi/calls/stream",
    "backends/asgi/http2/client",
    "backends/asgi/http2/link",
    "backends/asgi/http2/outgoing",
    "backends/asgi/http2/stream",
    "backends/asgi/http2/websockets",
    "backends/asgi/loop/waiters",
    "backends/asgi/websockets/websocket",
    "backends/asgi/connections/buffered_transport",
    "backends/asgi/connections/transport_events",
    "backends/asgi/upstream/tunnel",
    "backends/adapters/asgi_meter",
    "backends/adapters/metrics",
    "backends/asgi/connections/connection_factory",
    "backends/native/acceptor",
    "backends/native/deadline",
    "backends/native/engines",
    "backends/native/timeouts",
    "backends/native/transport/tls",
    "backends/native/transport/tls_contexts",
    "backends/native/handlers/client_limits",
    "backends/native/codings/compression",
    "backends/native/handlers/file_answers",
    "backends/native/handlers/handler_chain",
    "backends/native/metrics",
    "backends/native/handlers/path_handlers",
    "backends/native/handlers/postponed",
    "backends/native/transport/transport",
    "backends/native/transport/transports",
    "backends/adapters/wsgi_meter",
    "backends/wsgi/connections/admission",
    "backends/wsgi/body",
    "backends/wsgi/call",
    "backends/wsgi/file_part",
    "backends/wsgi/connections/connections",
    "backends/wsgi/connections/connection",
    "backends/wsgi/connections/connection_factory",
    "backends/wsgi/executors/executor",
    "backends/wsgi/executors/overdue",
    "backends/wsgi/executors/greenlet_executor",
    "backends/wsgi/http2/arrivals",
    "backends/wsgi/http2/client_link",
    "backends/wsgi/http2/connection",
    "backends/wsgi/http2/delegate",
    "backends/wsgi/http2/delegation/delegated_stream",
    "backends/wsgi/http2/delegation/delegation",
    "backends/wsgi/http2/delegation/sibling_link",
    "backends/wsgi/http2/flow",
    "backends/wsgi/http2/incoming",
    "backends/wsgi/http2/link",
    "backends/wsgi/http2/outflow",
    "backends/wsgi/http2/signal",
    "backends/wsgi/http2/stream",
    "backends/wsgi/metrics",
    "backends/wsgi/connections/multiplexing",
    "backends/wsgi/event_loop",
    "backends/wsgi/request_flow",
    "backends/wsgi/connections/slow_clients",
    "backends/wsgi/stream",
    "backends/wsgi/context",
    "backends/wsgi/executors/thread_executor",
    "backends/wsgi/connections/worker_handoff",
    "system/clock",
    "http/answers/added_headers",
    "http/interfaces/asgi",
    "http/paths/body_limits",
    "http/chunked",
    "http/clients/clienthello",
    "http/close_codes",
    "http/answers/codings",
    "http/answers/compression",
    "http/answers/conditions",
    "http/declarations",
    "http/delegation/answer_frames",
    "http/delegation/request_message",
    "http/engine",
    "http/filtered",
    "http/clients/forwarded",
    "http/h2/budget",
    "http/h2/connection",
    "http/h2/events",
    "http/h2/frames",
    "http/h2/hpack",
    "http/h2/huffman",
    "http/h2/receiver",
    "http/h2/request_fields",
    "http/h2/request_heads",
    "http/h2/requests",
    "http/h2/response_heads",
    "http/h2/settings",
    "http/h2/slowness",
    "http/h2/streams/backlog",
    "http/h2/streams/credit",
    "http/h2/streams/output",
    "http/h2/streams/priority",
    "http/h2/streams/registry",
    "http/h2/streams/stream",
    "http/gates/canonical",
    "http/gates/client",
    "http/gates/rates",
    "http/handlers",
    "http/head",
    "http/keep_alive",
    "http/memo",
    "http/messages",
    "http/answers/own_pages",
    "http/paths/path_patterns",
    "http/paths/path_table",
    "http/paths/paths",
    "http/clients/peer",
    "http/policy",
    "http/clients/proxyprotocol",
    "http/requestid",
    "http/response",
    "http/paths/routes",
    "http/interfaces/scope",
    "http/answers/secure",
    "http/answers/static",
    "http/clients/tls_session",
    "http/upstream/request_head",
    "http/upstream/response_reader",
    "http/upstream/upstream_exchange",
    "http/interfaces/wsgi",
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
