# The shape of bigtop/, checked: who may import whom, what the pure rooms may not touch, how wide things get.
#
# Every check is a function from the modules to a list of offences, "file:line: what is wrong". So each is
# tried three times: on bigtop/ itself and on a right example, where it must find nothing, and on a wrong one.
# docs/explanation/architecture.md shows the same picture for people.

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module belongs to the longest name here that it begins with, and imports its own layer or lower ones.
LAYERS = {
    "bigtop.build": 0,
    "bigtop.clock": 0,
    "bigtop.errors": 0,
    "bigtop.handoff": 0,
    "bigtop.holders": 0,
    "bigtop.kernel": 0,
    "bigtop.lifeline": 0,
    "bigtop.loader": 0,
    "bigtop.log": 0,
    "bigtop.notify": 0,
    "bigtop.pidfile": 0,
    "bigtop.rebinding": 0,
    "bigtop.scoreboard": 0,
    "bigtop.signals": 0,
    "bigtop.sockets": 0,
    "bigtop.unixpaths": 0,
    "bigtop.http": 1,
    "bigtop.supervisor.expansion": 1,
    "bigtop.supervisor.flapping": 1,
    "bigtop.supervisor.generations": 1,
    "bigtop.supervisor.journal": 1,
    "bigtop.supervisor.machine": 1,
    "bigtop.supervisor.messages": 1,
    "bigtop.supervisor.orders": 1,
    "bigtop.supervisor.plan": 1,
    "bigtop.supervisor.processtable": 1,
    "bigtop.supervisor.roster": 1,
    "bigtop.supervisor.spec": 1,
    "bigtop.supervisor.ordering": 1,
    "bigtop.supervisor.streams.formats": 1,
    "bigtop.backends": 2,
    "bigtop.supervisor": 2,
    "bigtop.control": 3,
    "bigtop.workers": 3,
    "bigtop.config": 4,
    "bigtop.launch": 4,
    "bigtop.__main__": 5,
    "bigtop.cli": 5,
    "bigtop.embedded": 5,
    "bigtop.library": 5,
}

# Rooms that decide and never perform, and what would make them perform.
PURE = tuple(room for room, number in LAYERS.items() if number == 1)
IMPURE = {"asyncio", "os", "select", "selectors", "socket", "subprocess", "threading", "time", "zmq"}

# Who may know the text forms of configuration. Everybody else is given the few values it needs.
KNOW_CONFIG = ("bigtop.config", "bigtop.launch", "bigtop.cli", "bigtop.embedded", "bigtop.library")

# Where turning a name into an attribute is the task itself; `bigtop` is the lazy menu of the library.
COMPUTED_NAMES = ("bigtop", "bigtop.config", "bigtop.loader")

MODULE_LINES = 400
FUNCTION_LINES = 40  # of code: no blank lines, comments, docstrings
CLASS_LINES = 250
METHODS = 16
ATTRIBUTES = 12
PARAMETERS = 7


class Module:
    """One file of source and what the checks ask about it."""

    def __init__(self, name: str, path: str, source: str) -> None:
        self.name = name
        self.path = path
        self.source = source
        self.lines = source.splitlines()
        self.is_package = path.endswith("__init__.py")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @cached_property
    def comments(self) -> set[int]:
        tokens = tokenize.generate_tokens(io.StringIO(self.source).readline)
        return {token.start[0] for token in tokens if token.type == tokenize.COMMENT}

    @cached_property
    def code(self) -> set[int]:
        """The numbers of the lines that hold code."""
        empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
        found: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.source).readline):
            if token.type not in empty and token.type != tokenize.ENDMARKER:
                found.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                match node.body[:1]:
                    case [ast.Expr(ast.Constant(str())) as docstring]:
                        found.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
        return found

    def at(self, node: ast.AST | int, what: str) -> str:
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.path}:{line}: {what}"

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """Every import, also those inside functions and for types only, as an absolute dotted name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                for alias in node.names:
                    yield node, f"{base}.{alias.name}"

    @cached_property
    def for_types_only(self) -> set[ast.stmt]:
        """The imports below `if TYPE_CHECKING:`, which never happen."""
        return {
            inner
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in node.body
        }

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        package = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*package, node.module] if node.module else package)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield node


Modules = dict[str, Module]


def modules_of(root: Path) -> Modules:
    """Read every module of the package directory `root`."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root.parent)
        name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        found[name] = Module(name, str(relative), path.read_text())
    return found


def owner(name: str, modules: Modules) -> str | None:
    """Return the module that an imported name lives in: itself, or the one it is taken from."""
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in modules else None


def own_imports(module: Module, modules: Modules) -> Iterator[tuple[ast.stmt, str]]:
    """Every import of a module of ours, once, however many names are taken from it."""
    found = ((node, owner(name, modules)) for node, name in module.imports())
    for node, target in dict.fromkeys(found):
        if target and target != module.name:
            yield node, target


def within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or (room != "bigtop" and name.startswith(room + ".")) for room in rooms)


def layer(name: str) -> int | None:
    rooms = [room for room in LAYERS if within(name, (room,))]
    return LAYERS[max(rooms, key=len)] if rooms else None


# ---- who knows whom


def unplaced(modules: Modules) -> list[str]:
    return [
        module.at(
            1, f"{module.name} has no layer: say in LAYERS, and in the architecture page, where it belongs"
        )
        for module in modules.values()
        if module.name != "bigtop" and not module.is_package and layer(module.name) is None
    ]


def upward_imports(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        mine = layer(module.name)
        for node, target in own_imports(module, modules):
            theirs = layer(target)
            if mine is not None and theirs is not None and theirs > mine:
                found.append(module.at(node, f"layer {mine} imports {target} of layer {theirs}"))
    return found


def cycles(modules: Modules) -> list[str]:
    """Find modules that import each other, by walking depth first and meeting a module that is still open.

    What bigtop/__init__.py imports on demand does not count: that is the menu of the library, for its users.
    """
    found: list[str] = []
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            found.append(" -> ".join([*path[path.index(name) :], name]) + ": an import cycle")
        elif name not in done:
            module = modules[name]
            for node, target in own_imports(module, modules):
                on_demand = name == "bigtop" and node not in module.tree.body
                if not on_demand and node not in module.for_types_only:
                    walk(target, (*path, name))
            done.add(name)

    for name in modules:
        walk(name, ())
    return found


def impure_imports(modules: Modules) -> list[str]:
    """Find pure modules that reach the world, directly or through another module of ours."""
    touched: dict[str, tuple[str, ...]] = {}

    def reach(name: str) -> tuple[str, ...]:
        if name not in touched:
            touched[name] = ()  # ends a cycle, which cycles() reports
            for _node, imported in modules[name].imports():
                top = imported.partition(".")[0]
                if top in IMPURE:
                    touched[name] = (name, top)
            for _node, target in own_imports(modules[name], modules):
                touched[name] = touched[name] or ((name, *reach(target)) if reach(target) else ())
        return touched[name]

    return [
        module.at(1, f"a pure module imports {' -> '.join(reach(module.name)[1:])}")
        for module in modules.values()
        if within(module.name, PURE) and reach(module.name)
    ]


def config_imports(modules: Modules) -> list[str]:
    return [
        module.at(node, f"only {', '.join(KNOW_CONFIG)} may import {target}: pass the values instead")
        for module in modules.values()
        if not within(module.name, KNOW_CONFIG)
        for node, target in own_imports(module, modules)
        if within(target, ("bigtop.config",))
    ]


def full_inits(modules: Modules) -> list[str]:
    return [
        module.at(1, "the __init__ of a sub-package stays empty: importing a module must import nothing else")
        for module in modules.values()
        if module.is_package and module.name != "bigtop" and module.source.strip()
    ]


def vague_names(modules: Modules) -> list[str]:
    vague = {"common", "helpers", "misc", "util", "utils"}
    return [
        module.at(1, "a file is named after what it does")
        for module in modules.values()
        if (last := module.name.rpartition(".")[2]) in vague or last.startswith("base_")
    ]


# ---- how wide


def long_modules(modules: Modules) -> list[str]:
    return [
        module.at(1, f"{len(module.lines)} lines, at most {MODULE_LINES}")
        for module in modules.values()
        if len(module.lines) > MODULE_LINES
    ]


def long_functions(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        for function in module.functions():
            lines = len(module.code & set(range(function.lineno, (function.end_lineno or 0) + 1)))
            if lines > FUNCTION_LINES:
                found.append(
                    module.at(
                        function, f"{function.name} has {lines} lines of code, at most {FUNCTION_LINES}"
                    )
                )
    return found


def many_parameters(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        for function in module.functions():
            arguments = function.args
            names = [arg.arg for arg in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
            names += [arg.arg for arg in (arguments.vararg, arguments.kwarg) if arg]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > PARAMETERS:
                found.append(
                    module.at(function, f"{function.name} takes {count} parameters, at most {PARAMETERS}")
                )
    return found


def wide_classes(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        for cls in module.classes():
            methods = [n for n in cls.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            for count, limit, of in (
                ((cls.end_lineno or 0) - cls.lineno + 1, CLASS_LINES, "lines"),
                (len(methods), METHODS, "methods"),
                (len(_attributes(cls)), ATTRIBUTES, "attributes"),
            ):
                if count > limit:
                    found.append(module.at(cls, f"class {cls.name} has {count} {of}, at most {limit}"))
    return found


def _attributes(cls: ast.ClassDef) -> set[str]:
    """Return what a class assigns to itself. The fields of a record (a dataclass) are not state of this kind:
    it is as wide as what it describes."""
    return {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


# ---- habits


def missing_headers(modules: Modules) -> list[str]:
    return [
        module.at(1, "opens without a header: what this file is, its rules, why")
        for module in modules.values()
        if module.source.strip() and 1 not in module.comments and ast.get_docstring(module.tree) is None
    ]


def broad_excepts(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            beside = range(node.lineno - 1, node.body[0].lineno + 1)
            if node.type is None:
                found.append(module.at(node, "bare except: name what can happen"))
            elif "Exception" in _names(node.type) and not module.comments.intersection(beside):
                found.append(module.at(node, "catches everything and no comment beside it says why"))
    return found


def _names(expression: ast.expr) -> set[str]:
    """Return the names in an `except` clause, with BaseException as the Exception that it includes."""
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return names | {"Exception"} if "BaseException" in names else names


def computed_attributes(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(ast.Name("getattr" | "setattr" | "delattr" as name), [_, ast.Constant(), *_]):
                    pass
                case ast.Call(ast.Name("getattr" | "setattr" | "delattr" as name)):
                    if not within(module.name, COMPUTED_NAMES):
                        found.append(module.at(node, f"{name} with a computed name hides who uses what"))
    return found


CHECKS: list[Callable[[Modules], list[str]]] = [
    unplaced,
    upward_imports,
    cycles,
    impure_imports,
    config_imports,
    full_inits,
    vague_names,
    long_modules,
    long_functions,
    many_parameters,
    wide_classes,
    missing_headers,
    broad_excepts,
    computed_attributes,
]


@pytest.fixture(scope="module")
def bigtop() -> Modules:
    modules = modules_of(ROOT / "bigtop")
    assert "bigtop.errors" in modules
    return modules


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_bigtop_keeps_its_shape(check: Callable[[Modules], list[str]], bigtop: Modules) -> None:
    offences = check(bigtop)
    assert not offences, "\n" + "\n".join(offences)


def test_every_room_with_a_layer_is_there(bigtop: Modules) -> None:
    assert [room for room in LAYERS if room not in bigtop] == []


# ---- the checks can fail


def many(lines: int, text: str = "    x = {}") -> str:
    return "\n".join(text.format(n) for n in range(lines))


WRONG = [
    (unplaced, {"bigtop/stray.py": "# x"}, "bigtop/stray.py:1: bigtop.stray has no layer"),
    (
        upward_imports,
        {
            "bigtop/errors.py": "# x\ndef f():\n    from bigtop.config import flags",
            "bigtop/config/flags.py": "",
        },
        "bigtop/errors.py:3: layer 0 imports bigtop.config.flags of layer 4",
    ),
    (
        upward_imports,
        {"bigtop/supervisor/spec.py": "from .core import Core", "bigtop/supervisor/core.py": ""},
        "bigtop/supervisor/spec.py:1: layer 1 imports bigtop.supervisor.core of layer 2",
    ),
    (
        cycles,
        {"bigtop/log.py": "import bigtop.loader", "bigtop/loader.py": "def f():\n    from bigtop import log"},
        "bigtop.loader -> bigtop.log -> bigtop.loader: an import cycle",
    ),
    (
        impure_imports,
        {"bigtop/http/engine.py": "from os import path"},
        "bigtop/http/engine.py:1: a pure module imports os",
    ),
    (
        impure_imports,
        {"bigtop/http/engine.py": "import bigtop.sockets", "bigtop/sockets.py": "import socket"},
        "bigtop/http/engine.py:1: a pure module imports bigtop.sockets -> socket",
    ),
    (
        config_imports,
        {"bigtop/workers/boot.py": "\nfrom bigtop.config.flags import x", "bigtop/config/flags.py": ""},
        "bigtop/workers/boot.py:2: only",
    ),
    (full_inits, {"bigtop/http/__init__.py": "from bigtop.http.engine import Engine"}, "stays empty"),
    (vague_names, {"bigtop/http/utils.py": ""}, "bigtop/http/utils.py:1: a file is named after"),
    (vague_names, {"bigtop/http/base_engine.py": ""}, "named after"),
    (long_modules, {"bigtop/log.py": many(401, "x{} = 1")}, "bigtop/log.py:1: 401 lines, at most 400"),
    (long_functions, {"bigtop/log.py": "def f():\n" + many(40)}, "bigtop/log.py:1: f has 41 lines of code"),
    (
        many_parameters,
        {"bigtop/log.py": "def f(self, a, b, c, d, e, *f, g, **h): ..."},
        "f takes 8 parameters",
    ),
    (wide_classes, {"bigtop/log.py": "class C:\n" + many(250)}, "class C has 251 lines, at most 250"),
    (wide_classes, {"bigtop/log.py": "class C:\n" + many(17, "    def f{}(self): ...")}, "has 17 methods"),
    (
        wide_classes,
        {"bigtop/log.py": "class C:\n    def __init__(self):\n" + many(13, "        self.a{}: int = 1")},
        "class C has 13 attributes",
    ),
    (missing_headers, {"bigtop/log.py": "import logging\n# too late"}, "opens without a header"),
    (broad_excepts, {"bigtop/log.py": "try:\n    f()\nexcept:\n    pass"}, "bigtop/log.py:3: bare except"),
    (
        broad_excepts,
        {"bigtop/log.py": "try:\n    f()\nexcept Exception as e:\n    pass"},
        "bigtop/log.py:3: catches everything",
    ),
    (
        computed_attributes,
        {"bigtop/log.py": "getattr(x, 'a' + y)"},
        "bigtop/log.py:1: getattr with a computed",
    ),
]


@pytest.mark.parametrize(
    ("check", "files", "message"), WRONG, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_check_finds_what_is_wrong(
    check: Callable[[Modules], list[str]], files: dict[str, str], message: str, tmp_path: Path
) -> None:
    offences = check(written(files, tmp_path))
    assert len(offences) == 1
    assert message in offences[0]


RIGHT = {
    "bigtop/log.py": "\n".join(
        [
            "# What this file is.",
            "def longest():",
            '    """Docstrings,',
            '    of any length, do not count."""',
            "    # nor do comments",
            "",
            many(39),
            "def widest(self, a, b, c, d, e, f, g): ...",
            "try:",
            "    longest()",
            "except Exception:  # a reason",
            "    getattr(longest, 'name', None)",
        ]
    ),
    "bigtop/__init__.py": "# A menu.\ndef __getattr__(name):\n    from bigtop.library import serve",
    "bigtop/library.py": "# What is on it.\nfrom bigtop import __version__",
    "bigtop/http/__init__.py": "",
    "bigtop/http/engine.py": "# Pure.\nfrom bigtop.errors import E",
    "bigtop/errors.py": "# A leaf.\nif TYPE_CHECKING:\n    import bigtop.loader\nclass E(Exception): ...",
    "bigtop/loader.py": "# Another.\nfrom bigtop.errors import E",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_check_complains_without_cause(check: Callable[[Modules], list[str]], tmp_path: Path) -> None:
    assert check(written(RIGHT, tmp_path)) == []


def written(files: dict[str, str], directory: Path) -> Modules:
    for name, source in {"bigtop/__init__.py": "", **files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return modules_of(directory / "bigtop")
