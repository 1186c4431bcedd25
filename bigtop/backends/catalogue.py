# The backends that Bigtop has adapters for: what each is, and how its server is installed.
#
# Rule: this table is for people. What a backend can do is what its class declares (base.Features), and which
# backends exist is what entry points say, third parties' included.

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Offer:
    """A backend as `bigtop backends` shows it. `package` is "" where nothing has to be installed."""

    interface: str
    package: str
    what: str


OFFERS: Final = {
    "wsgi": Offer("wsgi", "", "Bigtop's own: fast, strict, slow clients never hold it up"),
    "asgi": Offer("asgi", "", "Bigtop's own, for ASGI"),
    "bjoern": Offer("wsgi", "bjoern", "C and libev, small and fast"),
    "cheroot": Offer("wsgi", "cheroot", "CherryPy's threaded server"),
    "fastpysgi": Offer("wsgi", "fastpysgi", "C, libuv and llhttp"),
    "gevent": Offer("wsgi", "gevent", "a greenlet per call, for applications that wait a lot"),
    "granian": Offer("asgi", "granian", "Rust: hyper on tokio"),
    "hypercorn": Offer("asgi", "hypercorn", "asyncio, with HTTP/2"),
    "meinheld": Offer("wsgi", "meinheld", "C and picoev; unmaintained since 2020"),
    "tornado": Offer("wsgi", "tornado", "asyncio, the application in threads"),
    "uvicorn": Offer("asgi", "uvicorn", "asyncio with uvloop and httptools"),
    "waitress": Offer("wsgi", "waitress", "pure Python threads, no dependencies"),
    "wsgiref": Offer("wsgi", "", "the standard library's; one request at a time"),
}

# gunicorn's and uvicorn's names of worker classes, and one of chaussette's -> the backend that does the same.
WORKER_CLASSES: Final = {
    "sync": "wsgi",
    "gthread": "wsgi",
    "gunicorn.workers.sync.SyncWorker": "wsgi",
    "gunicorn.workers.gthread.ThreadWorker": "wsgi",
    "gunicorn.workers.ggevent.GeventWorker": "gevent",
    "fastgevent": "gevent",
    "gevent_wsgi": "gevent",
    "gevent_pywsgi": "gevent",
    "gunicorn.workers.gtornado.TornadoWorker": "tornado",
    "uvicorn.workers.UvicornWorker": "uvicorn",
    "uvicorn.workers.UvicornH11Worker": "uvicorn",
    "uvicorn_worker.UvicornWorker": "uvicorn",
    "uvicorn_worker.UvicornH11Worker": "uvicorn",
    "meinheld.gmeinheld.MeinheldWorker": "meinheld",
    "egg:meinheld#gunicorn_worker": "meinheld",
}


def canonical(name: str) -> str:
    """Return the backend that `name`, perhaps a worker class of gunicorn's, stands for."""
    return WORKER_CLASSES.get(name, name)


def explain(name: str) -> str:
    """Return what to tell somebody who asked for a worker class of gunicorn's, "" for everybody else."""
    backend = canonical(name)
    if backend == name:
        return ""
    more = "; give --threads as well" if name.endswith(("gthread", "ThreadWorker")) else ""
    return f"worker class {name!r}: backend {backend!r} does that here{more}"


def install_command(name: str, version: tuple[int, ...] = sys.version_info[:2]) -> str:
    """Return the command that installs what backend `name` needs, on this or another version of Python."""
    if name != "meinheld":
        return f"pip install 'bigtop[{name}]'"
    # It wants greenlet<0.5, which does not compile any more, and does without when asked to.
    if version < (3, 13):
        return "MEINHELD_NOGREEN=1 pip install --no-deps meinheld"
    # What it uses of the C API that Python 3.13 dropped. CFLAGS replace Python's own, hence -DNDEBUG: an
    # assertion of theirs does not hold.
    flags = (
        "-O2 -DNDEBUG -fwrapv -DPy_TRASHCAN_SAFE_BEGIN(o)= -DPy_TRASHCAN_SAFE_END(o)= "
        "-DPyEval_CallObject(f,a)=PyObject_CallObject(f,a) "
        "-DPyEval_CallObjectWithKeywords(f,a,k)=PyObject_Call(f,a,k)"
    )
    return (
        "pip install 'setuptools<80' wheel && "
        f"MEINHELD_NOGREEN=1 CFLAGS='{flags}' "
        "pip install --no-build-isolation --no-deps --no-binary :all: meinheld"
    )
