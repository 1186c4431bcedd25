# An nginx.conf as a tree of directives.
#
# Rule: nothing is followed or asked for: an include names a file that may be on another machine.

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from bigtop.errors import ConfigError

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+) | (?P<comment>\#[^\n]*) | (?P<mark>[{};])
    | "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)'
    | (?P<word>(?!["'])(?:\$\{[^}\s]*\}|\\.|[^\s{};\\])+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Directive(NamedTuple):
    """One directive; `block` is what stands in its braces, None where it ends with a semicolon."""

    name: str
    args: tuple[str, ...]
    line: int
    block: tuple[Directive, ...] | None

    def __str__(self) -> str:
        return " ".join((self.name, *self.args))

    def all(self, name: str) -> Iterator[Directive]:
        """Yield the directives of that name in its braces."""
        return (one for one in self.block or () if one.name == name)

    def first(self, name: str) -> Directive | None:
        return next(self.all(name), None)


def parsed(text: str, path: str) -> Directive:
    """Return a file, as a directive without a name whose block it is. ConfigError: it is none of nginx."""
    tokens = list(_tokens(text, path))
    block, end = _block(tokens, 0, path, 0)
    assert end == len(tokens), "the outermost block ends with the file"
    return Directive("", (), 1, block)


def is_nginx(text: str) -> bool:
    """Whether a text reads like one: a block of a server, or what it forwards to."""
    return (
        re.search(r"^\s*(server|upstream\s+\S+|http|location\s[^{};]*)\s*\{", text, re.MULTILINE) is not None
    )


class _Token(NamedTuple):
    text: str
    line: int
    is_mark: bool


def _tokens(text: str, path: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConfigError(
                f"{path}:{line}: a quotation mark is not closed, or the file ends in a backslash"
            )
        kind, found = match.lastgroup or "", match[0]
        if kind == "mark":
            yield _Token(found, line, True)
        elif kind in ("double", "single"):
            yield _Token(_ESCAPED.sub(r"\1", match[kind]), line, False)
        elif kind == "word":
            yield _Token(found, line, False)
        line += found.count("\n")
        at = match.end()


def _block(tokens: list[_Token], at: int, path: str, begun: int) -> tuple[tuple[Directive, ...], int]:
    """Return what stands from `at` on up to the brace that closes, and where that was; `begun` is the line of
    the brace that opens, 0 for the file itself."""
    found: list[Directive] = []
    words: list[_Token] = []
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if not token.is_mark:
            words.append(token)
            continue
        if token.text == "}":
            if words:
                raise ConfigError(f"{path}:{words[-1].line}: {words[-1].text!r} has no semicolon behind it")
            if not begun:
                raise ConfigError(f"{path}:{token.line}: closes a brace that nothing has opened")
            return tuple(found), at
        if not words:
            raise ConfigError(f"{path}:{token.line}: there is no directive before {token.text!r}")
        name, args = words[0].text, tuple(word.text for word in words[1:])
        block = None
        if token.text == "{":
            block, at = _block(tokens, at, path, token.line)
        found.append(Directive(name, args, words[0].line, block))
        words = []
    if words:
        raise ConfigError(f"{path}:{words[-1].line}: {words[-1].text!r} has no semicolon behind it")
    if begun:
        raise ConfigError(f"{path}:{begun}: this brace is not closed")
    return tuple(found), at
