# Records: classes that are nothing but named fields, defined without generating code.
#
# dataclasses writes and compiles a handful of functions for every class, each time a program starts: for the
# specs and messages of a supervisor that is a fifth of the time until it listens, and it brings `inspect`
# along. Here the functions are written once, and a class keeps the names of its fields and their defaults.
#
# Rules: as with @dataclass(slots=True), fields come in the order in which they are annotated, those with a
# default last, or anywhere with `kw_only=True`. `match` takes them by position. What a ClassVar annotates is
# no field. A record is frozen unless its class says `frozen=False`. Two records are equal when they are of
# one class and their fields are; those of a class with `eq=False` only when they are the same object.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

R = TypeVar("R", bound="Record")


class _Missing:
    """The default of a field that has none."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class Field:
    """One field of a record: its name, the text of its annotation, its default."""

    __slots__ = ("compare", "default", "default_factory", "metadata", "name", "type")

    def __init__(
        self,
        default: object = MISSING,
        default_factory: Callable[[], object] | _Missing = MISSING,
        *,
        compare: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = self.type = ""  # known when the class is made
        self.default = default
        self.default_factory = default_factory
        self.compare = compare
        self.metadata: Mapping[str, Any] = metadata or {}

    @property
    def is_required(self) -> bool:
        return self.default is MISSING and self.default_factory is MISSING

    def make_default(self) -> object:
        return self.default_factory() if not isinstance(self.default_factory, _Missing) else self.default


def field(
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    compare: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """Describe a field that has more than a plain default; `compare=False` leaves it out of == and hash()."""
    return Field(default, default_factory, compare=compare, metadata=metadata)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class _RecordType(type):
    """Makes slots of a record's annotations."""

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        frozen: bool = True,
        eq: bool = True,
        kw_only: bool = False,
    ) -> _RecordType:
        own = {}
        for word, annotation in namespace.get("__annotations__", {}).items():
            if str(annotation).startswith("ClassVar"):
                continue
            value = namespace.pop(word, MISSING)
            own[word] = one = value if isinstance(value, Field) else Field(value)
            one.name, one.type = word, str(annotation)
        every: dict[str, Field] = {}
        for base in reversed(bases):
            every |= getattr(base, "_fields", {})
        every |= own
        namespace["__slots__"] = (*namespace.get("__slots__", ()), *own)
        namespace["__match_args__"] = () if kw_only else tuple(every)
        namespace["_fields"] = every
        namespace["_compared"] = tuple(word for word, one in every.items() if one.compare)
        if not frozen:
            namespace.setdefault("__setattr__", object.__setattr__)
            namespace.setdefault("__delattr__", object.__delattr__)
        if not eq:
            namespace.setdefault("__eq__", object.__eq__)
            namespace.setdefault("__hash__", object.__hash__)
        elif not frozen or "__eq__" in namespace:
            namespace.setdefault("__hash__", None)
        return super().__new__(cls, name, bases, namespace)


class Record(metaclass=_RecordType):
    """Base of all records. Raises TypeError for arguments that are no fields, or are missing."""

    _fields: ClassVar[dict[str, Field]]
    _compared: ClassVar[tuple[str, ...]]
    __match_args__: ClassVar[tuple[str, ...]]

    def __init__(self, *args: object, **named: object) -> None:
        cls = type(self)
        every, put = cls._fields, object.__setattr__
        if len(args) > len(cls.__match_args__):
            raise TypeError(f"{cls.__name__} takes {len(cls.__match_args__)} values, {len(args)} were given")
        words = iter(every)
        for value in args:
            put(self, next(words), value)
        for word in words:
            if word in named:
                put(self, word, named.pop(word))
            elif every[word].is_required:
                raise TypeError(f"{cls.__name__}: {word} is missing")
            else:
                put(self, word, every[word].make_default())
        if named:
            raise TypeError(f"{cls.__name__}: {', '.join(named)}: no such field, or given twice")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check what was given; for classes that have something to check."""

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, word) == getattr(other, word) for word in self._compared)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, word) for word in self._compared))

    def __repr__(self) -> str:
        shown = ", ".join(f"{word}={getattr(self, word)!r}" for word in self._fields)
        return f"{type(self).__qualname__}({shown})"

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple(getattr(self, word) for word in self._fields)


def fields(record: Record | type[Record]) -> tuple[Field, ...]:
    """Return the fields of a record or of its class, in order."""
    return tuple(record._fields.values())


def replace(record: R, **changes: Any) -> R:
    """Return a copy in which `changes` are other. It is checked as a new one is."""
    old = {word: getattr(record, word) for word in record._fields}
    return type(record)(**{**old, **changes})


def as_dict(record: Record) -> dict[str, Any]:
    """Return the fields by name, with records inside of them, of tuples, lists and dicts, as dicts too."""
    return {word: _plain(getattr(record, word)) for word in record._fields}


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return as_dict(value)
    if isinstance(value, (list, tuple)):
        return (
            type(value)(map(_plain, value))
            if not hasattr(value, "_make")
            else value._make(map(_plain, value))
        )
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    return value
