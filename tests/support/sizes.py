# How wide things are: what is measured, and the limits. `python -m tests.support.sizes` shows how sizes are
# spread below these.
#
# Rules: an object is as wide as all that it can do. Inherited members count, and so do functions of its
# module that take it as their first argument. Limits stand where nothing was cut to keep them: where many
# sizes end just below one, the limit has shaped the code, and that table shows it.

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.source import Modules, ours

FOLDER_MODULES = 20
MODULE_LINES = 400
FUNCTION_LINES = 40  # of code: no blank lines, comments, docstrings
CLASS_LINES = 250
METHODS = 24
ATTRIBUTES = 20
FIELDS = 32  # of a record, which is as wide as what it describes
PARAMETERS = 7

RECORD = "bigtop.record.Record"
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Size(NamedTuple):
    """One measure of one thing; `place` begins a complaint."""

    measure: str
    place: str
    what: str
    count: int
    limit: int

    def complaint(self) -> str:
        return f"{self.place}{self.what} {self.count} {self.measure}, at most {self.limit}"


def over(sizes: Iterator[Size]) -> list[str]:
    return [size.complaint() for size in sizes if size.count > size.limit]


def crowded_folders(modules: Modules) -> list[str]:
    """Find folders that hold more than somebody takes in at a glance."""
    return over(folder_sizes(modules))


def long_modules(modules: Modules) -> list[str]:
    """Find modules that do too much."""
    return over(module_sizes(modules))


def long_functions(modules: Modules) -> list[str]:
    return over(function_sizes(modules))


def many_parameters(modules: Modules) -> list[str]:
    return over(parameter_counts(modules))


def wide_classes(modules: Modules) -> list[str]:
    return over(class_sizes(modules))


def cut_classes(modules: Modules) -> list[str]:
    """Find one object that was cut in two by inheritance: its one half is made by nobody, extended by one."""
    classes = Classes(modules)
    extended = Counter(base for name in classes.all for base in classes.bases(name))
    return [
        modules[name.rpartition(".")[0]].at(
            classes.all[name],
            f"nobody is a {classes.all[name].name} but its one subclass: make one a part",
        )
        for name, count in extended.items()
        if count == 1 and name not in classes.made and not classes.is_contract(name)
    ]


# ---- what is measured


def folder_sizes(modules: Modules) -> Iterator[Size]:
    folders = Counter(module.path.rpartition("/")[0] for module in modules.values() if not module.is_package)
    for folder, count in folders.items():
        yield Size("modules", f"{folder}: ", "a folder has", count, FOLDER_MODULES)


def module_sizes(modules: Modules) -> Iterator[Size]:
    """A table, which has neither function nor class, may be long."""
    for module in modules.values():
        if any(module.functions()) or any(module.classes()):
            yield Size("lines", module.at(1, ""), "a module has", len(module.lines), MODULE_LINES)


def function_sizes(modules: Modules) -> Iterator[Size]:
    for module in modules.values():
        for function in module.functions():
            lines = len(module.code & set(range(function.lineno, (function.end_lineno or 0) + 1)))
            place = module.at(function, "")
            yield Size("lines of code", place, f"{function.name} has", lines, FUNCTION_LINES)


def parameter_counts(modules: Modules) -> Iterator[Size]:
    for module in modules.values():
        for function in module.functions():
            arguments = function.args
            names = [arg.arg for arg in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
            names += [arg.arg for arg in (arguments.vararg, arguments.kwarg) if arg]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            yield Size("parameters", module.at(function, ""), f"{function.name} takes", count, PARAMETERS)


def class_sizes(modules: Modules) -> Iterator[Size]:
    classes = Classes(modules)
    for name, cls in classes.all.items():
        module = modules[name.rpartition(".")[0]]
        place, what = module.at(cls, ""), f"class {cls.name} has"
        yield Size("lines", place, what, (cls.end_lineno or 0) - cls.lineno + 1, CLASS_LINES)
        yield Size("methods", place, what, len(classes.methods(name)), METHODS)
        yield Size("attributes", place, what, len(classes.attributes(name)), ATTRIBUTES)
        yield Size("fields", place, what, len(classes.fields(name)), FIELDS)


class Classes:
    """The classes of modules by their dotted names, with all that they inherit of each other."""

    def __init__(self, modules: Modules) -> None:
        self.all: dict[str, ast.ClassDef] = {}
        self._modules = modules
        self._scopes: dict[str, dict[str, str]] = {}
        for module in modules.values():
            scope = {name.rpartition(".")[2]: name for _node, name in module.imports}
            for cls in module.classes():
                scope[cls.name] = f"{module.name}.{cls.name}"
                self.all[scope[cls.name]] = cls
            self._scopes[module.name] = scope
        # What is called, or passed on to be called, by name.
        self.made = {
            self._resolve(module.name, node)
            for module in modules.values()
            for call in ast.walk(module.tree)
            if isinstance(call, ast.Call)
            for node in (call.func, *call.args)
        }

    def bases(self, name: str) -> list[str]:
        module = name.rpartition(".")[0]
        found = (self._resolve(module, base) for base in self.all[name].bases)
        return [base for base in found if base in self.all]

    def _resolve(self, module: str, node: ast.expr) -> str:
        """Return the dotted name that an expression stands for; what stands for none is nobody's."""
        match node:
            case ast.Subscript(value):
                return self._resolve(module, value)
            case ast.Name(word):
                return self._scopes[module].get(word, word)
            case ast.Attribute(ast.Name(word), last):
                return f"{self._scopes[module].get(word, word)}.{last}"
        return ""

    def is_contract(self, name: str) -> bool:
        """Whether others are to fill it in: a Protocol, an abstract class, an error."""
        words = {ast.unparse(base).partition("[")[0] for base in self.all[name].bases}
        text = ast.unparse(self.all[name])
        is_error = any(word.endswith(("Error", "Exception")) for word in words)
        return is_error or "Protocol" in words or "@abstractmethod" in text or "NotImplementedError" in text

    def _family(self, name: str) -> Iterator[ast.ClassDef]:
        """Yield a class and all that it extends, but what every record has."""
        if name != RECORD:
            yield self.all[name]
            for base in self.bases(name):
                yield from self._family(base)

    def _is_record(self, name: str) -> bool:
        bases = self.bases(name)
        return name == RECORD or any(self._is_record(base) for base in bases)

    def methods(self, name: str) -> set[str]:
        """Return the names of methods, and of functions beside them which could be methods."""
        found = {node.name for cls in self._family(name) for node in cls.body if isinstance(node, Function)}
        if self._is_record(name):  # a description: whoever reads it takes it as an argument
            return found
        module, _, word = name.rpartition(".")
        return found | {
            node.name
            for node in self._modules[module].tree.body
            if isinstance(node, Function) and _first_type(node) == word
        }

    def attributes(self, name: str) -> set[str]:
        """Return what objects of a class assign to themselves."""
        return {
            node.attr
            for cls in self._family(name)
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        }

    def fields(self, name: str) -> set[str]:
        if not self._is_record(name):
            return set()
        return {
            node.target.id
            for cls in self._family(name)
            for node in cls.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            if not ast.unparse(node.annotation).startswith("ClassVar")
        }


def _first_type(function: Function) -> str:
    """Return the name of the class that a function takes as its first argument."""
    arguments = function.args.posonlyargs + function.args.args
    annotation = arguments[0].annotation if arguments else None
    return ast.unparse(annotation).strip("'\"") if annotation is not None else ""


# ---- how sizes are spread


def spread(sizes: list[Size]) -> Iterator[str]:
    """Yield a row for each measure: how many are in each tenth of what its limit allows."""
    kinds = dict.fromkeys((size.limit, size.measure) for size in sizes if size.count)
    yield f"{'measure':<16}{'limit':>6}{'largest':>9}   tenths of the limit, the last one just below it"
    for limit, measure in kinds:
        counts = [size.count for size in sizes if (size.limit, size.measure) == (limit, measure)]
        tenths = Counter(min((count * 10 - 1) // limit, 10) for count in counts if count)
        row = "".join(f"{tenths[tenth]:>6}" for tenth in range(10))
        cliff = "  a cliff" if tenths[9] > tenths[8] else ""
        yield f"{measure:<16}{limit:>6}{max(counts):>9}{row}{cliff}"


if __name__ == "__main__":
    package = ours()
    every = [
        *folder_sizes(package),
        *module_sizes(package),
        *function_sizes(package),
        *parameter_counts(package),
        *class_sizes(package),
    ]
    print("\n".join(spread(every)))
