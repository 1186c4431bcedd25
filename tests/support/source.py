# The modules of a package as their source says what they are: names, lines, imports, classes.

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path


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
    def tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.source).readline))

    @cached_property
    def comments(self) -> set[int]:
        return {token.start[0] for token in self.tokens if token.type == tokenize.COMMENT}

    @cached_property
    def code(self) -> set[int]:
        """The numbers of the lines that hold code."""
        empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
        found: set[int] = set()
        for token in self.tokens:
            if token.type not in empty and token.type != tokenize.ENDMARKER:
                found.update(range(token.start[0], token.end[0] + 1))
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                match node.body[:1]:
                    case [ast.Expr(ast.Constant(str())) as docstring]:
                        found.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
        return found

    def at(self, node: ast.AST | int, what: str) -> str:
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.path}:{line}: {what}"

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All that the tree holds, for all who look for something in it."""
        return list(ast.walk(self.tree))

    @cached_property
    def imports(self) -> list[tuple[ast.stmt, str]]:
        """Every import, also those inside functions and for types only, as an absolute dotted name."""
        return list(self._imports())

    def _imports(self) -> Iterator[tuple[ast.stmt, str]]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                for alias in node.names:
                    yield node, f"{base}.{alias.name}"

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        package = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*package, node.module] if node.module else package)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                yield node


Modules = dict[str, Module]


@cache
def ours() -> Modules:
    """Return every module of Bigtop, read and parsed once for all tests."""
    return modules_of(Path(__file__).resolve().parents[2] / "bigtop")


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
    found = ((node, owner(name, modules)) for node, name in module.imports)
    for node, target in dict.fromkeys(found):
        if target and target != module.name:
            yield node, target
