# What setup.py compiles, and how one can tell. tests/compiled.py builds it.

from __future__ import annotations

import ast
from pathlib import Path
from types import FunctionType

from bigtop import build
from bigtop.http.engine import Engine
from tests.test_architecture import ROOT, Modules, modules_of


def hot() -> set[str]:
    """Return the modules that setup.py names, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name("HOT")], value=value):
                return {"bigtop." + name.replace("/", ".") for name in ast.literal_eval(value)}
    raise AssertionError("setup.py names no HOT modules")


def test_a_build_knows_its_kind() -> None:
    assert build.kind() == ("pure Python" if isinstance(Engine.feed, FunctionType) else "compiled")


def test_what_is_compiled_is_there() -> None:
    assert hot() - set(modules_of(ROOT / "bigtop")) == set()


def test_bounds_of_slices_may_be_computed_twice() -> None:
    """mypyc does so where it does not know the type of what is cut. See docs/explanation/design.md."""
    harmless = {"index", "len", "max", "min"}
    offences = [
        module.at(node, ast.unparse(node))
        for name, module in modules_of(ROOT / "bigtop").items()
        if name in hot()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Slice)
        for inner in ast.walk(node)
        if isinstance(inner, ast.NamedExpr)
        or (isinstance(inner, ast.Call) and ast.unparse(inner.func).rpartition(".")[2] not in harmless)
    ]
    assert offences == []


def outsiders(modules: Modules, compiled: set[str]) -> list[str]:
    """Find classes whose base is compiled while they are not: Python refuses those when it meets them."""
    found = []
    for module in modules.values():
        origin = {name.rpartition(".")[2]: name.rpartition(".")[0] for _, name in module.imports()}
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
    assert outsiders(modules_of(ROOT / "bigtop"), hot()) == []


def test_an_outsider_is_found(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample/base.py").write_text("class Base: ...\n")
    (tmp_path / "sample/derived.py").write_text("from sample.base import Base\nclass Derived(Base): ...\n")
    modules = modules_of(tmp_path / "sample")
    assert len(outsiders(modules, {"sample.base"})) == 1
    assert outsiders(modules, {"sample.base", "sample.derived"}) == []
