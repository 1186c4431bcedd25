# The backends that Bigtop has adapters for: what each is, and how its server is installed.
#
# Rule: what a backend can do is what its class declares (base.Features). Backends of others are entry points
# (registry.py).

from __future__ import annotations

import sys
from typing import Final

from bigtop.record import Record


class Offer(Record):
    """A backend as `bigtop backends` shows it. `package` is "" where nothing has to be installed; `home` is
    where its class is, "module:name" below bigtop.backends."""

    interface: str
    package: str
    what: str
    home: str


OFFERS: Final = {
    "wsgi": Offer(
        "wsgi", "", "Bigtop's own: fast, strict, slow clients never hold it up", "wsgi.backend:WsgiBackend"
    ),
    "asgi": Offer("asgi", "", "Bigtop's own, for ASGI", "asgi.backend:AsgiBackend"),
    "bjoern": Offer("wsgi", "bjoern", "C and libev, small and fast", "adapters.bjoern:BjoernBackend"),
    "cheroot": Offer("wsgi", "cheroot", "CherryPy's threaded server", "adapters.cheroot:CherootBackend"),
    "fastpysgi": Offer("wsgi", "fastpysgi", "C, libuv and llhttp", "adapters.fastpysgi:FastpysgiBackend"),
    "gevent": Offer(
        "wsgi", "gevent", "a greenlet per call, for applications that wait a lot", "wsgi.gevent:GeventBackend"
    ),
    "granian": Offer("asgi", "granian", "Rust: hyper on tokio", "adapters.granian:GranianBackend"),
    "hypercorn": Offer("asgi", "hypercorn", "asyncio, with HTTP/2", "adapters.hypercorn:HypercornBackend"),
    "meinheld": Offer(
        "wsgi", "meinheld", "C and picoev; unmaintained since 2020", "adapters.meinheld:MeinheldBackend"
    ),
    "tornado": Offer(
        "wsgi", "tornado", "asyncio, the application in threads", "adapters.tornado:TornadoBackend"
    ),
    "uvicorn": Offer(
        "asgi", "uvicorn", "asyncio with uvloop and httptools", "adapters.uvicorn:UvicornBackend"
    ),
    "waitress": Offer(
        "wsgi", "waitress", "pure Python threads, no dependencies", "adapters.waitress:WaitressBackend"
    ),
    "wsgiref": Offer(
        "wsgi", "", "the standard library's; one request at a time", "adapters.wsgiref:WsgirefBackend"
    ),
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
