# What setup.py compiles, and how one can tell. tests/compiled.py builds it.

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path
from types import FunctionType

import pytest

from bigtop import build
from bigtop.http.engine import Engine
from tests.support.flows import flows
from tests.support.source import Modules, modules_of, ours
from tests.test_architecture import ROOT


def hot() -> set[str]:
    """Return the modules that setup.py names, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name("HOT")], value=value):
                return {"bigtop." + name.replace("/", ".") for name in ast.literal_eval(value)}
    raise AssertionError("setup.py names no HOT modules")


def test_a_build_knows_its_kind() -> None:
    assert build.kind() == ("pure Python" if isinstance(Engine.feed, FunctionType) else "compiled")


@pytest.mark.skipif(build.kind() != "compiled", reason="of the compiled build: make test-compiled")
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)")
def test_nobody_else_can_call_into_what_is_compiled() -> None:
    """Its functions call each other directly, and need not be looked up when a process loads them."""
    (library,) = Path(build.__file__).parent.parent.glob("bigtop__mypyc.*.so")
    done = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in done.stdout.splitlines()]
    assert [name for name in names if not name.startswith("PyInit_")] == []
    assert names != []


def test_what_is_compiled_is_there() -> None:
    assert hot() - set(ours()) == set()


def test_bounds_of_slices_may_be_computed_twice() -> None:
    """mypyc does so where it does not know the type of what is cut. See docs/explanation/design.md."""
    harmless = {"index", "len", "max", "min"}
    offences = [
        module.at(node, ast.unparse(node))
        for name, module in ours().items()
        if name in hot()
        for node in module.nodes
        if isinstance(node, ast.Slice)
        for inner in ast.walk(node)
        if isinstance(inner, ast.NamedExpr)
        or (isinstance(inner, ast.Call) and ast.unparse(inner.func).rpartition(".")[2] not in harmless)
    ]
    assert offences == []


def test_no_slice_is_kept_in_a_variable() -> None:
    """mypyc cuts bytes with an index, or with a slice that stands in the brackets; others are TypeErrors."""
    offences = [
        module.at(node, ast.unparse(node))
        for name, module in ours().items()
        if name in hot()
        for node in module.nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "slice"
    ]
    assert offences == []


def outsiders(modules: Modules, compiled: set[str]) -> list[str]:
    """Find classes whose base is compiled while they are not: Python refuses those when it meets them."""
    found = []
    for module in modules.values():
        origin = {name.rpartition(".")[2]: name.rpartition(".")[0] for _, name in module.imports}
        if module.name not in compiled:
            found += [
                module.at(node, f"{node.name} derives from {base.id} of {origin[base.id]}")
                for node in module.classes()
                for base in map(_plain, node.bases)
                if isinstance(base, ast.Name) and origin.get(base.id) in compiled
            ]
    return found


def _plain(base: ast.expr) -> ast.expr:
    return base.value if isinstance(base, ast.Subscript) else base


def test_who_derives_from_what_is_compiled_is_compiled() -> None:
    assert outsiders(ours(), hot()) == []


def test_an_outsider_is_found(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample/base.py").write_text("class Base: ...\n")
    (tmp_path / "sample/derived.py").write_text("from sample.base import Base\nclass Derived(Base): ...\n")
    modules = modules_of(tmp_path / "sample")
    assert len(outsiders(modules, {"sample.base"})) == 1
    assert outsiders(modules, {"sample.base", "sample.derived"}) == []


# Functions in which a value that nobody has checked gets a type, by module: whose value that is. What is an
# application's is annotated as object, and looked at. See docs/explanation/design.md.
SERVERS = "the server's, whose word on a request is taken"
OWN = "our own, out of a dict that holds all kinds of values"
CHECKED = "of the right type, as was seen to before"
NO_TYPE = "one of which only the name is a type's: mypyc takes whatever it is"
SOCKET = "an address, as the socket module made it"
STRUCT = "what struct made of bytes"
OPENSSL = "what Python's ssl module made of OpenSSL's answer"
TYPED = {
    "bigtop.backends.adapters.asgi_meter": {
        "AsgiMeter.__call__": SERVERS,
        "_has_connections": SERVERS,
        "_request_of": SERVERS,
    },
    "bigtop.backends.adapters.wsgi_meter": {
        "WsgiMeter.__call__": SERVERS,
        "_Call.start_response": NO_TYPE,
        "_Stream.__next__": NO_TYPE,
        "request_of": SERVERS,
        "_target": SERVERS,
    },
    "bigtop.backends.asgi.connections.connection_factory": {"ConnectionFactory.welcome": SOCKET},
    "bigtop.backends.wsgi.connections.connection_factory": {"ConnectionFactory.__call__": SOCKET},
    "bigtop.http.clients.forwarded": {"Trust._looked_up": "what the ipaddress module made of a text"},
    "bigtop.backends.native.transport.tls": {
        "TlsTransport.open": OPENSSL,
        "TlsTransport._read": OPENSSL,
        "_session": OPENSSL,
    },
    "bigtop.backends.wsgi.call": {
        "Call.run": OWN,
    },
    "bigtop.backends.wsgi.file_part": {"file_part": "what a file of Python's own says of itself"},
    "bigtop.http.delegation.answer_frames": {"AnswerReader.feed": STRUCT},
    "bigtop.http.delegation.request_message": {"is_whole": STRUCT},
    "bigtop.http.filtered": {"FilteredAnswer.large_body": OWN},
    "bigtop.http.clients.proxyprotocol": {
        "_parse_1": "what a pattern found in bytes",
        "_parse_2": STRUCT,
    },
    "bigtop.http.response": {"Head.__init__": CHECKED},
    "bigtop.http.interfaces.scope": {"http_scope": OWN},
    "bigtop.http.interfaces.wsgi": {"_origin": OWN, "environ": OWN},
    "bigtop.http.clients.tls_session": {"client_of": OPENSSL},
    "bigtop.ipc.scoreboard": {
        "View.soonest": "what struct made of bytes",
        "View._records": "what struct made of bytes",
    },
}


def test_what_an_application_gives_gets_no_type_before_it_is_looked_at() -> None:
    found = flows(ROOT, sorted(hot()))
    known = {(module, where) for module, functions in TYPED.items() for where in functions}
    assert [flow for flow in found if (flow.module, flow.where) not in known] == []
    assert known - {(flow.module, flow.where) for flow in found} == set(), "these are no more"


def test_a_value_that_gets_a_type_is_found(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(
        "from typing import Any\n"
        "class Sender:\n"
        "    count: int = 0\n"
        "    def send(self, message: dict[str, Any], ready: object) -> bytes:\n"
        "        self.count = message['count']\n"
        "        self._put(message['type'], ready)\n"
        "        return message['body']\n"
        "    def _put(self, kind: str, anything: object) -> None: ...\n"
    )
    assert [tuple(flow) for flow in flows(tmp_path, ["sample"])] == [
        ("sample", 5, "Sender.send", "is assigned as int"),
        ("sample", 6, "Sender.send", "is kind of _put of Sender: str"),
        ("sample", 7, "Sender.send", "is returned as bytes"),
    ]
