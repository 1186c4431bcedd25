# The shape of bigtop/, checked: who may import whom, what the pure rooms may not touch, how wide things get.
#
# Every check is a function from the modules to a list of offences, "file:line: what is wrong". So each is
# tried three times: on bigtop/ itself and on a right example, where it must find nothing, and on a wrong one.
# docs/explanation/architecture.md shows the same picture for people.

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sizes import (
    crowded_folders,
    cut_classes,
    long_functions,
    long_modules,
    many_parameters,
    wide_classes,
)
from tests.support.source import Modules, modules_of, ours, own_imports

ROOT = Path(__file__).resolve().parent.parent

# A module belongs to the longest name here that it begins with, and imports its own layer or lower ones.
LAYERS = {
    "bigtop.build": 0,
    "bigtop.emission": 0,
    "bigtop.errors": 0,
    "bigtop.interface": 0,
    "bigtop.ipc": 0,
    "bigtop.loader": 0,
    "bigtop.target": 0,
    "bigtop.log": 0,
    "bigtop.paste": 0,
    "bigtop.record": 0,
    "bigtop.sizes": 0,
    "bigtop.sockets": 0,
    "bigtop.system": 0,
    "bigtop.zones": 0,
    "bigtop.cluster.policy": 1,
    "bigtop.http": 1,
    "bigtop.keeper.acme": 1,
    "bigtop.keeper.certificates": 1,
    "bigtop.keeper.issuers": 1,
    "bigtop.keeper.local.local_names": 1,
    "bigtop.keeper.ordering.dns_message": 1,
    "bigtop.keeper.schedule": 1,
    "bigtop.keeper.signing": 1,
    "bigtop.supervisor.policy": 1,
    "bigtop.web.access": 1,
    "bigtop.supervisor.streams.formats": 1,
    "bigtop.backends": 2,
    "bigtop.hooks": 2,
    "bigtop.keeper": 2,
    "bigtop.supervisor": 2,
    "bigtop.web.spec": 2,
    "bigtop.web.store": 2,
    "bigtop.cluster": 3,
    "bigtop.control": 3,
    "bigtop.plugins": 3,
    "bigtop.stats": 3,
    "bigtop.web.encryption": 3,
    "bigtop.web.preflight": 3,
    "bigtop.workers": 3,
    "bigtop.config": 4,
    "bigtop.launch": 4,
    "bigtop.__main__": 5,
    "bigtop.cli": 5,
    "bigtop.embedded": 5,
    "bigtop.gunicorn": 5,
    "bigtop.library": 5,
    "bigtop.top": 5,
    "bigtop.web": 5,
}

# Rooms that decide and never perform, and what would make them perform.
PURE = (
    *(room for room, number in LAYERS.items() if number == 1),
    "bigtop.top.model",
    "bigtop.web.rules",
)
IMPURE = {"asyncio", "os", "select", "selectors", "socket", "subprocess", "threading", "time", "zmq"}

# Who may know the text forms of configuration. Everybody else is given the few values it needs.
KNOW_CONFIG = (
    *("bigtop.config", "bigtop.launch", "bigtop.cli"),
    *("bigtop.embedded", "bigtop.gunicorn", "bigtop.library"),
)

# What people import names from, which are imported when they are used.
MENUS = ("bigtop", "bigtop.gunicorn", "bigtop.plugins")

# Where turning a name into an attribute is the task itself.
COMPUTED_NAMES = (*MENUS, "bigtop.config", "bigtop.interface", "bigtop.loader", "bigtop.record")


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

    Imports for types only count: who reads the one module has to read the other. What bigtop/__init__.py
    imports on demand does not: that is the menu of the library, for its users.
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
                if not on_demand:
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
            for _node, imported in modules[name].imports:
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
        if module.is_package and module.name not in MENUS and module.source.strip()
    ]


def vague_names(modules: Modules) -> list[str]:
    vague = {"common", "helpers", "misc", "util", "utils"}
    return [
        module.at(1, "a file is named after what it does")
        for module in modules.values()
        if (last := module.name.rpartition(".")[2]) in vague or last.startswith("base_")
    ]


# ---- habits


# A header that begins with one of these says what something does before it says what it is.
NO_NOUN = re.compile(
    r"# (What|Who|Whom|Whose|How|When|Where|Which|Whether|That|From|Tells|Every|Everything|All|Until) "
)


def headers_without_noun(modules: Modules) -> list[str]:
    return [
        module.at(1, "the header does not begin with the noun of what this file is")
        for module in modules.values()
        if NO_NOUN.match(module.source)
    ]


def missing_headers(modules: Modules) -> list[str]:
    return [
        module.at(1, "opens without a header: what this file is, its rules, why")
        for module in modules.values()
        if module.source.strip() and 1 not in module.comments and ast.get_docstring(module.tree) is None
    ]


def broad_excepts(modules: Modules) -> list[str]:
    found = []
    for module in modules.values():
        for node in module.nodes:
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
        for node in module.nodes:
            match node:
                case ast.Call(ast.Name("getattr" | "setattr" | "delattr" as name), [_, ast.Constant(), *_]):
                    pass
                case ast.Call(ast.Name("getattr" | "setattr" | "delattr" as name)):
                    if not within(module.name, COMPUTED_NAMES):
                        found.append(module.at(node, f"{name} with a computed name hides who uses what"))
    return found


def unguarded_loggers(modules: Modules) -> list[str]:
    """Find loggers of ours that an application's logging.config would silence."""
    found = []
    for module in modules.values():
        for node in module.nodes:
            match node:
                case ast.Call(ast.Attribute(attr="getLogger"), [ast.Constant(str(name))]):
                    if name.partition(".")[0] == "bigtop":
                        found.append(module.at(node, f"take {name} from bigtop.log.logger"))
    return found


CHECKS: list[Callable[[Modules], list[str]]] = [
    unplaced,
    upward_imports,
    cycles,
    impure_imports,
    config_imports,
    full_inits,
    vague_names,
    crowded_folders,
    long_modules,
    long_functions,
    many_parameters,
    wide_classes,
    cut_classes,
    headers_without_noun,
    missing_headers,
    broad_excepts,
    computed_attributes,
    unguarded_loggers,
]


@pytest.fixture(scope="module")
def bigtop() -> Modules:
    modules = ours()
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
            "bigtop/errors.py": "# x\ndef f():\n    from bigtop.config.serve import flags",
            "bigtop/config/serve/flags.py": "",
        },
        "bigtop/errors.py:3: layer 0 imports bigtop.config.serve.flags of layer 4",
    ),
    (
        upward_imports,
        {
            "bigtop/supervisor/policy/spec.py": "from ..supervisor import S",
            "bigtop/supervisor/supervisor.py": "",
        },
        "bigtop/supervisor/policy/spec.py:1: layer 1 imports bigtop.supervisor.supervisor of layer 2",
    ),
    (
        cycles,
        {"bigtop/log.py": "import bigtop.loader", "bigtop/loader.py": "def f():\n    from bigtop import log"},
        "bigtop.loader -> bigtop.log -> bigtop.loader: an import cycle",
    ),
    (
        cycles,
        {
            "bigtop/log.py": "if TYPE_CHECKING:\n    from bigtop.loader import Loader",
            "bigtop/loader.py": "import bigtop.log",
        },
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
        {
            "bigtop/workers/boot.py": "\nfrom bigtop.config.serve.flags import x",
            "bigtop/config/serve/flags.py": "",
        },
        "bigtop/workers/boot.py:2: only",
    ),
    (full_inits, {"bigtop/http/__init__.py": "from bigtop.http.engine import Engine"}, "stays empty"),
    (vague_names, {"bigtop/http/utils.py": ""}, "bigtop/http/utils.py:1: a file is named after"),
    (vague_names, {"bigtop/http/base_engine.py": ""}, "named after"),
    (
        crowded_folders,
        {f"bigtop/http/part{number}.py": "" for number in range(21)},
        "bigtop/http: a folder has 21 modules, at most 20",
    ),
    (
        long_modules,
        {"bigtop/log.py": "def f(): ...\n" + many(400, "x{} = 1")},
        "bigtop/log.py:1: a module has 401 lines, at most 400",
    ),
    (long_functions, {"bigtop/log.py": "def f():\n" + many(40)}, "bigtop/log.py:1: f has 41 lines of code"),
    (
        many_parameters,
        {"bigtop/log.py": "def f(self, a, b, c, d, e, *f, g, **h): ..."},
        "f takes 8 parameters",
    ),
    (wide_classes, {"bigtop/log.py": "class C:\n" + many(250)}, "class C has 251 lines, at most 250"),
    (wide_classes, {"bigtop/log.py": "class C:\n" + many(25, "    def f{}(self): ...")}, "has 25 methods"),
    (
        wide_classes,
        {
            "bigtop/log.py": "class B:\n" + many(13, "    def f{}(self): ..."),
            "bigtop/loader.py": "import bigtop.log as log\nfrom bigtop.log import B\nclass C(B):\n"
            + many(11, "    def g{}(self): ...")
            + "\ndef h(c: C): ...",
        },
        "bigtop/loader.py:3: class C has 25 methods",
    ),
    (
        wide_classes,
        {"bigtop/log.py": "class C:\n    def __init__(self):\n" + many(21, "        self.a{}: int = 1")},
        "class C has 21 attributes",
    ),
    (
        wide_classes,
        {
            "bigtop/record.py": "class Record: ...",
            "bigtop/log.py": "from bigtop.record import Record\nclass C(Record):\n"
            + many(33, "    a{}: int"),
        },
        "class C has 33 fields",
    ),
    (
        cut_classes,
        {
            "bigtop/log.py": "class Half:\n    def f(self): ...",
            "bigtop/loader.py": "from bigtop.log import Half\nclass Whole(Half): ...\nWhole()",
        },
        "bigtop/log.py:1: nobody is a Half but its one subclass",
    ),
    (missing_headers, {"bigtop/log.py": "import logging\n# too late"}, "opens without a header"),
    (headers_without_noun, {"bigtop/log.py": "# Where it is all written.\n"}, "does not begin with the noun"),
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
    (
        unguarded_loggers,
        {"bigtop/system/kernel.py": "import logging\nlog = logging.getLogger('bigtop.app')"},
        "bigtop/system/kernel.py:2: take bigtop.app from bigtop.log.logger",
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
            "# A log.",
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
    "bigtop/__init__.py": "# A door.\ndef __getattr__(name):\n    from bigtop.library import serve",
    "bigtop/library.py": "# The menu.\nfrom bigtop import __version__",
    "bigtop/http/__init__.py": "",
    "bigtop/http/engine.py": "# Pure.\nfrom bigtop.errors import E",
    "bigtop/errors.py": "# A leaf.\nclass E(Exception): ...\nclass F(E): ...",
    "bigtop/sizes.py": "# A contract.\nclass A:\n    def f(self):\n        raise NotImplementedError\n"
    "class B(A): ...",
    "bigtop/loader.py": "# Another.\nif TYPE_CHECKING:\n    from bigtop.errors import E",
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
