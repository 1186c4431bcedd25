# What Python has removed or deprecated up to 3.15 is not used: our sources are read for it.
#
# The table is of the pages "What's New" and "Pending removals" of Python 3.12 to 3.15. A Python warns only of
# code that runs, and only of what that Python knows.

from __future__ import annotations

import ast
import importlib
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bigtop", "bench", "docs", "examples")
SOURCES = [ROOT / "setup.py", *sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))]

MODULES = {
    "3.12": "asynchat asyncore distutils imp smtpd",
    "3.13": "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap nis nntplib ossaudiodev pipes "
    "sndhdr spwd sunau telnetlib uu xdrlib",
    "3.15": "cProfile profile sre_compile sre_constants sre_parse",
}
# By the full name. The version is that which removes it or, earlier, warns of it.
NAMES = {
    "3.12": "configparser.SafeConfigParser datetime.datetime.utcfromtimestamp "
    "datetime.datetime.utcnow importlib.abc.Finder pkgutil.ImpImporter pkgutil.ImpLoader "
    "sqlite3.enable_shared_cache ssl.match_hostname ssl.wrap_socket sys.last_traceback "
    "sys.last_type sys.last_value unittest.findTestCases unittest.makeSuite",
    "3.13": "configparser.LegacyInterpolation locale.resetlocale logging.warn re.template re.TEMPLATE "
    "tempfile.mktemp typing.AnyStr unittest.getTestCaseNames",
    "3.14": "ast.Bytes ast.Ellipsis ast.NameConstant ast.Num ast.Str asyncio.AbstractChildWatcher "
    "asyncio.AbstractEventLoopPolicy asyncio.DefaultEventLoopPolicy asyncio.FastChildWatcher "
    "asyncio.MultiLoopChildWatcher asyncio.PidfdChildWatcher asyncio.SafeChildWatcher "
    "asyncio.ThreadedChildWatcher asyncio.get_child_watcher asyncio.get_event_loop_policy "
    "asyncio.iscoroutinefunction asyncio.set_child_watcher asyncio.set_event_loop_policy "
    "codecs.open collections.abc.ByteString importlib.abc.ResourceReader "
    "importlib.abc.Traversable importlib.abc.TraversableResources importlib.find_loader "
    "pkgutil.find_loader pkgutil.get_loader pty.master_open pty.slave_open "
    "sys._clear_type_cache typing.ByteString urllib.request.FancyURLopener "
    "urllib.request.URLopener",
    "3.15": "ctypes.ARRAY ctypes.SetPointerType glob.glob0 glob.glob1 "
    "http.server.CGIHTTPRequestHandler locale.getdefaultlocale os.path.commonprefix "
    "platform.java_ver typing.no_type_check_decorator",
    "none yet": "abc.abstractclassmethod abc.abstractproperty abc.abstractstaticmethod shutil.ExecError "
    "ssl.OP_NO_SSLv2 ssl.OP_NO_SSLv3 ssl.OP_NO_TLSv1 ssl.OP_NO_TLSv1_1 "
    "ssl.OP_NO_TLSv1_2 ssl.OP_NO_TLSv1_3 ssl.PROTOCOL_TLS ssl.PROTOCOL_TLSv1 "
    "ssl.PROTOCOL_TLSv1_1 ssl.PROTOCOL_TLSv1_2 ssl.RAND_pseudo_bytes threading.activeCount "
    "threading.currentThread",
}
# Of objects whose class a source does not show.
METHODS = {
    "3.12": "assertEquals assertNotEquals assertRegexpMatches failUnless utcfromtimestamp utcnow",
    "3.15": "co_lnotab is_reserved load_module",
    "none yet": "getName isDaemon notifyAll setDaemon setName",
}
# Arguments that may be given by keyword only: the function, and how many it takes by position.
POSITIONAL = {"re.split": 2, "re.sub": 3, "re.subn": 3}


def table(words: dict[str, str]) -> dict[str, str]:
    return {word: version for version, text in words.items() for word in text.split()}


GONE_MODULES, GONE_NAMES, GONE_METHODS = table(MODULES), table(NAMES), table(METHODS)
# Where nothing of this stands there is nothing to find.
_LAST = "|".join(sorted({name.rpartition(".")[2] for name in [*GONE_NAMES, *GONE_METHODS]}))
SUSPECT = re.compile(
    rf"(?:import|from) (?:{'|'.join(GONE_MODULES)})\b|(?:\.|\bimport\b.*\b)(?:{_LAST})\b"
    r"|\bre\.(?:split|subn?)\(|\bfinally:"
)


def names(tree: ast.Module) -> dict[str, str]:
    """Return what names of a module stand for, if they were imported."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return known


def spelled(node: ast.expr, known: dict[str, str]) -> str:
    """Return the full name that an expression is, "" if it is none that was imported."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := spelled(node.value, known)):
        return f"{owner}.{node.attr}"
    return ""


def leaves(body: list[ast.stmt], *, in_loop: bool = False) -> Iterator[ast.stmt]:
    """Yield what leaves a `finally` by its own: Python 3.14 warns of it (PEP 765)."""
    for node in body:
        if isinstance(node, ast.Return) or (isinstance(node, ast.Break | ast.Continue) and not in_loop):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = in_loop or isinstance(node, ast.For | ast.AsyncFor | ast.While)
            for name in ("body", "orelse", "finalbody"):
                yield from leaves(getattr(node, name, []), in_loop=inner)
            for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
                yield from leaves(part.body, in_loop=inner)


def of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield what is gone of what an import names."""
    if isinstance(node, ast.Import):
        imported = [alias.name for alias in node.names]
    elif node.level:
        return
    else:
        imported = [f"{node.module}.{alias.name}" for alias in node.names]
    for name in imported:
        first = name.partition(".")[0]
        if first in GONE_MODULES:
            yield f"{first}: {GONE_MODULES[first]}"
        elif name in GONE_NAMES:
            yield f"{name}: {GONE_NAMES[name]}"


def of_attribute(node: ast.Attribute, known: dict[str, str]) -> Iterator[str]:
    name = spelled(node, known)
    if name in GONE_NAMES:
        yield f"{name}: {GONE_NAMES[name]}"
    elif node.attr in GONE_METHODS and not name:
        yield f"{node.attr}: {GONE_METHODS[node.attr]}"


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each use of what is gone, and what it is."""
    tree = ast.parse(source)
    known = names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, what) for what in of_import(node))
        elif isinstance(node, ast.Attribute):
            yield from ((node.lineno, what) for what in of_attribute(node, known))
        elif isinstance(node, ast.Call):
            function = spelled(node.func, known)
            if len(node.args) > POSITIONAL.get(function, len(node.args)):
                yield node.lineno, f"{function} with {len(node.args)} arguments by position: 3.13"
        elif isinstance(node, ast.Try | ast.TryStar):
            for statement in leaves(node.finalbody):
                yield statement.lineno, f"{type(statement).__name__} leaves a finally: 3.14"


def test_nothing_is_used_that_python_has_given_up() -> None:
    found = []
    for path in SOURCES:
        source = path.read_text("utf-8")
        if SUSPECT.search(source):  # most are not read: that takes a hundred times as long
            found += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in faults(source)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import imp",
        "from distutils.core import setup",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import datetime as d\nd.utcnow()",
        "from asyncio import iscoroutinefunction",
        "import asyncio as a\na.set_event_loop_policy(None)",
        "import re\nre.sub('a', 'b', 'c', 1)",
        "def f():\n  try:\n    pass\n  finally:\n    if 1:\n      return",
        "for x in ():\n  try:\n    pass\n  finally:\n    continue",
        "def f(lock):\n  lock.notifyAll()",
    ],
)
def test_what_is_given_up_is_found(source: str) -> None:
    assert len(list(faults(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.sub('a', 'b', 'c', count=1)",
        "try:\n  pass\nfinally:\n  for x in ():\n    break",
        "def f():\n  try:\n    pass\n  finally:\n    def g():\n      return",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from .imp import x",
    ],
)
def test_what_stays_is_not_found(source: str) -> None:
    assert list(faults(source)) == []


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="only Python 3.11 has all of it")
@pytest.mark.parametrize("name", [*GONE_MODULES, *GONE_NAMES])
def test_each_name_of_the_table_was_there(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module, *rest = name.split(".")
        found = importlib.import_module(module)
        for part in rest:
            try:
                found = getattr(found, part)
            except AttributeError:
                if name.startswith("sys.last_"):  # there only once an exception was shown
                    return
                found = importlib.import_module(f"{found.__name__}.{part}")
