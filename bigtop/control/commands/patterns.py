# Regular expressions of strangers, matched in linear time.
#
# Python's own engine tries one possibility after the other, and patterns of a few characters take it years.
# This one follows all possibilities at once (Thompson's construction), so its time is the length of the text
# by the size of the pattern. Whether a text matches is all that it can say.
#
# Rules: pure. What cannot be matched in this way is refused, never ignored. The size of the pattern is that
# of what it stands for, so each repetition counts.

from __future__ import annotations

from collections.abc import Callable, Iterable
from re import _constants as words  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 250  # characters of a pattern
_MOST_STATES = 1000

_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    words.CATEGORY_DIGIT: str.isdecimal,
    words.CATEGORY_NOT_DIGIT: lambda c: not c.isdecimal(),
    words.CATEGORY_SPACE: str.isspace,
    words.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    words.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    words.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}
_NO_FLAGS = words.SRE_FLAG_UNICODE
_BEGIN = (words.AT_BEGINNING, words.AT_BEGINNING_STRING)
_END = (words.AT_END, words.AT_END_STRING)


_REFUSED = (
    "what looks at more than the next character is not understood: references back, (?=...), (?<=...),"
    " \\b, possessive and atomic groups, flags"
)


class PatternError(ValueError):
    """The pattern is none, or not one that is matched here."""


class Pattern:
    """Matches at the beginning of a text, as re.match() does; upper and lower case are the same to it."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise PatternError(f"a pattern has at most {LONGEST} characters")
        # A state is a test of the next character with the state after it, or states that are entered at once
        # ("" for always, "^" and "$" for a place in the text).
        self._tests: list[tuple[Callable[[str], bool], int] | None] = []
        self._jumps: list[list[tuple[str, int]]] = []
        self._final = self._state()
        try:
            parsed = parser.parse(text)
            if parsed.state.flags != _NO_FLAGS:
                raise PatternError(_REFUSED)
            self._first = self._sequence(parsed, self._final)
        except (parser.error, OverflowError, RecursionError) as error:
            raise PatternError(str(error)) from None

    def match(self, text: str) -> bool:
        states = self._entered([self._first], 0, len(text))
        for position, character in enumerate(text):
            if self._final in states:
                return True
            after = [test[1] for test in map(self._tests.__getitem__, states) if test and test[0](character)]
            states = self._entered(after, position + 1, len(text))
        return self._final in states

    def _entered(self, states: Iterable[int], position: int, length: int) -> set[int]:
        found: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state not in found:
                found.add(state)
                for where, target in self._jumps[state]:
                    if not where or (position == 0 if where == "^" else position == length):
                        waiting.append(target)
        return found

    # ---- from what Python's parser says to states, from the end to the beginning

    def _state(self, *jumps: tuple[str, int], test: tuple[Callable[[str], bool], int] | None = None) -> int:
        if len(self._jumps) >= _MOST_STATES:
            raise PatternError("the pattern is too large")
        self._tests.append(test)
        self._jumps.append(list(jumps))
        return len(self._jumps) - 1

    def _sequence(self, items: Any, after: int) -> int:
        for operation, argument in reversed(list(items)):
            after = self._item(operation, argument, after)
        return after

    def _item(self, operation: Any, argument: Any, after: int) -> int:
        if operation in (words.MAX_REPEAT, words.MIN_REPEAT):
            least, most, inner = argument
            return self._repeat(least, most, inner, after)
        if operation is words.SUBPATTERN:
            _group, added, removed, inner = argument
            if added or removed:
                raise PatternError(_REFUSED)
            return self._sequence(inner, after)
        if operation is words.BRANCH:
            return self._state(*(("", self._sequence(inner, after)) for inner in argument[1]))
        if operation is words.AT and argument in _BEGIN + _END:
            return self._state(("^" if argument in _BEGIN else "$", after))
        return self._state(test=(_test(operation, argument), after))

    def _repeat(self, least: int, most: int, inner: Any, after: int) -> int:
        if most is words.MAXREPEAT:
            loop = self._state(("", after))
            self._jumps[loop].append(("", self._sequence(inner, loop)))
            after = loop
        else:
            for _ in range(most - least):
                after = self._state(("", after), ("", self._sequence(inner, after)))
        for _ in range(least):
            after = self._sequence(inner, self._state(("", after)))  # a state also where `inner` has none
        return after


def _test(operation: Any, argument: Any) -> Callable[[str], bool]:
    """Return what says whether one character fits."""
    match operation:
        case words.LITERAL:
            return frozenset((chr(argument).lower(), chr(argument).upper())).__contains__
        case words.NOT_LITERAL:
            return _one_of([(words.NEGATE, None), (words.LITERAL, argument)])
        case words.ANY:
            return "\n".__ne__
        case words.IN:
            return _one_of(argument)
        case words.RANGE:
            low, high = map(chr, argument)
            return lambda character: low <= character.lower() <= high or low <= character.upper() <= high
        case words.CATEGORY:
            return _CATEGORIES[argument]
    raise PatternError(_REFUSED)


def _one_of(items: list[tuple[Any, Any]]) -> Callable[[str], bool]:
    """Return the test of what is in brackets."""
    negated = items[0][0] is words.NEGATE
    tests = [_test(*item) for item in items[negated:]]
    return lambda character: any(test(character) for test in tests) is not negated
