# What other people wrote, as a part of a message: it stays in its line, on every Python.

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bigtop.backends import cutoff
from bigtop.backends.asgi.calls import call as asgi_call
from bigtop.backends.asgi.calls import disconnect
from bigtop.backends.cutoff import Overdue
from bigtop.backends.wsgi import call as wsgi_call
from bigtop.errors import causes, one_line

pytestmark = pytest.mark.case("D1")


def said(*words: str | Path, where: Path, status: int) -> list[str]:
    """Return what `bigtop` complains of when it ends with that status, without tracebacks and warnings."""
    environ = {**os.environ, "PYTHONPATH": str(where)}
    done = subprocess.run(
        [sys.executable, "-m", "bigtop", *words], cwd=where, env=environ, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    return [line for line in done.stderr.split("\n") if line.startswith("bigtop: ")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ümlauts and 漢字", "plain, with ümlauts and 漢字"),
        ("", ""),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("\x1b[31mred\x07\x00", r"\x1b[31mred\x07\x00"),
        ("line\u2028separator\x85\x0b", r"line\u2028separator\x85\x0b"),
        ("left\u202eright", r"left\u202eright"),
        (os.fsdecode(b"name\xff"), r"name\udcff"),
    ],
)
def test_what_ends_a_line_or_hides_is_escaped(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert len(one_line(text).splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[supervisord]\nbroken line\n", "2: 'broken line' is neither [section] nor key = value"),
        ("[supervisord]\nbro\x0bken\n", r"2: 'bro\x0bken' is neither [section] nor key = value"),
        ("key = 1\n[program:a]\n", "1: 'key = 1' stands before the first [section]"),
    ],
)
def test_a_broken_line_of_supervisord_is_quoted_in_one_line(
    text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "s.conf").write_text(text)
    assert said("convert", "s.conf", where=tmp_path, status=78) == [f"bigtop: s.conf:{complaint}"]


def test_a_value_continued_from_a_line_without_one_is_no_crash(tmp_path: Path) -> None:
    """Pythons differ here in the class of the exception, and in how many of the lines it blames."""
    (tmp_path / "s.conf").write_text("[program:a]\ncommand\n  more\n")
    lines = said("convert", "s.conf", where=tmp_path, status=78)
    assert lines[-1] == "bigtop: s.conf:3: 'more' is neither [section] nor key = value"


def test_the_name_of_a_file_stays_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb.toml").write_text("[circus]\nno_such_key = 1\n")
    (line,) = said("check", "a\nb.toml", where=tmp_path, status=78)
    assert line.startswith(r"bigtop: a\nb.toml:2: ")


def test_a_mistake_in_an_app_section_is_told_at_its_key_whatever_the_file_is_called(tmp_path: Path) -> None:
    (tmp_path / "a\nb.toml").write_text('[app.x]\napp = "x:app"\nworkers = "many"\n')
    (line,) = said("check", "a\nb.toml", where=tmp_path, status=78)
    assert line.startswith(r"bigtop: a\nb.toml:3: workers: ")


def test_an_exception_of_the_application_stays_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text('raise ValueError("first\\nsecond\\x1b[2J")\n')
    lines = said("serve", "broken:app", "--check-config", where=tmp_path, status=3)
    assert lines == [r"bigtop: cannot import broken: ValueError: first\nsecond\x1b[2J"]


def test_a_broken_configuration_of_logging_stays_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "log.ini").write_text("no section\n")
    (tmp_path / "c.toml").write_text('[circus]\nloggerconfig = "log.ini"\n[watcher.a]\ncmd = "true"\n')
    lines = said("run", "c.toml", where=tmp_path, status=78)
    assert len(lines) == 1
    assert "log.ini" in lines[0]


def circle(error: BaseException) -> BaseException:
    """Return what was raised from itself, as `raise error from error` does in an application."""
    error.__cause__ = error
    return error


def test_causes_of_an_error_are_told_once_each() -> None:
    first, second = ValueError("first"), KeyError("second")
    second.__cause__, second.__context__ = first, OSError("not told: there is a cause")
    assert list(causes(second)) == [second, first]
    first.__context__ = second
    assert list(causes(second)) == [second, first]
    assert list(causes(None)) == []


def test_an_error_that_comes_from_itself_holds_nobody_up() -> None:
    """A worker's thread went round in it for ever, with the lead in its hands."""
    assert not wsgi_call._is_news(circle(ValueError()), None)
    assert not asgi_call.is_news(circle(ValueError()))
    assert not cutoff.is_overdue(circle(ValueError()))
    assert cutoff.is_overdue(circle(Overdue()))
    assert not cutoff.is_overdue(ExceptionGroup("", [circle(ValueError())]))
    disconnect.release(circle(ValueError()))


def test_an_interruption_is_found_wherever_an_application_has_put_it() -> None:
    assert not cutoff.is_overdue(None)
    for wrapped in _wrapped():
        assert cutoff.is_overdue(wrapped), repr(wrapped)
    both = KeyError()
    both.__cause__, both.__context__ = ValueError(), OSError()
    assert not cutoff.is_overdue(both)


def _wrapped() -> Iterator[BaseException]:
    """Yield what applications raise where they have caught an interruption."""

    def caught(handle: Callable[[], object]) -> BaseException:
        try:
            try:
                raise Overdue
            except Overdue:
                handle()
        except BaseException as error:
            return error
        raise AssertionError

    def raises(error: BaseException, cause: BaseException | None) -> None:
        raise error from cause

    yield caught(lambda: raises(ValueError(), None))
    yield caught(lambda: raises(ValueError(), KeyError("another cause")))
    inner = caught(lambda: raises(ValueError(), KeyError("another cause")))
    yield BaseExceptionGroup("", [OSError(), inner])
    yield caught(lambda: raises(ValueError(), ExceptionGroup("", [KeyError()])))
