# The log and the access log: their lines, whole whatever happens, and their files, which come and go.

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigtop import log
from bigtop.errors import ConfigError
from bigtop.log import AccessFile

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[(\w+)\] (.*)")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("bigtop")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    for handler in logger.handlers:
        if handler not in before[0] and isinstance(handler, log._Handler):
            handler.end()
    logger.handlers[:], logger.level, logger.propagate = before


CONFIGURED = {
    "version": 1,
    "formatters": {"short": {"format": "OWN %(message)s"}},
    "handlers": {"own": {"class": "logging.FileHandler", "filename": "PLACE", "formatter": "short"}},
    "loggers": {"circus": {"level": "INFO", "handlers": ["own"]}},
}
AS_YAML = """
version: 1
formatters:
  short: {format: "OWN %(message)s"}
handlers:
  own:
    class: logging.FileHandler
    filename: PLACE
    formatter: short
loggers:
  circus: {level: INFO, handlers: [own]}
"""


@pytest.mark.parametrize(
    ("name", "text"), [("l.json", json.dumps(CONFIGURED)), ("l.yaml", AS_YAML), ("l.YML", AS_YAML)]
)
def test_a_file_of_circus_says_where_the_log_goes(tmp_path: Path, name: str, text: str) -> None:
    file, own = tmp_path / name, tmp_path / "own.log"
    file.write_text(text.replace("PLACE", str(own)))
    logging.getLogger("bigtop").handlers.clear()
    log.configure_from(str(file))
    logging.getLogger("bigtop.x").info("hello")
    for handler in logging.getLogger("circus").handlers[:]:
        logging.getLogger("circus").removeHandler(handler)
        handler.close()
    assert own.read_text() == "OWN hello\n"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("l.conf", "", "has to end with .ini, .json or .yaml"),
        ("l.yaml", "- 1", "no table of"),
        ("l.json", "{", "Expecting property name"),
        ("l.yaml", "a: [", "expected the node content"),
        ("l.json", '{"version": 1, "root": {"level": "LOUD"}}', "Unable to configure root"),
    ],
)
def test_a_file_that_says_nothing_of_the_kind(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=problem):
        log.configure_from(str(tmp_path / name))


def test_yaml_without_pyyaml_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text(AS_YAML)
    (tmp_path / "yaml.py").write_text("raise ImportError")
    code = "import sys; from bigtop import log; log.configure_from(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "l.yaml")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith("YAML takes PyYAML: pip install 'bigtop[yaml]'\n")


# ---- lines


def test_lines_are_those_of_gunicorn(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    log.configure(path=str(path))
    logging.getLogger("bigtop.supervisor").info("worker %d is ready", 3)
    match = LINE.fullmatch(path.read_text().rstrip("\n"))
    assert match
    assert match.groups() == (str(os.getpid()), "INFO", "worker 3 is ready")


def test_a_traceback_follows_its_line(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    log.configure(path=str(path))
    fail_and_log()
    first, *rest = path.read_text().splitlines()
    assert first.endswith("[ERROR] it broke")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    ZeroDivisionError: division by zero"


@pytest.mark.case("E18")
def test_nobody_forges_a_line(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    log.configure(path=str(path))
    logging.getLogger("bigtop.workers").error(
        "%s", "x\n[2026-11-21] [1] [INFO] forged\r\x1b[2J\x9b\u2028\tend"
    )
    first, rest = path.read_text().splitlines()
    assert first.endswith("[ERROR] x")
    assert rest == "    [2026-11-21] [1] [INFO] forged\\r\\x1b[2J\\x9b\\u2028\tend"


def test_the_level_counts_for_all_loggers_below(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    log.configure("warning", path=str(path))
    logging.getLogger("bigtop.workers").info("no")
    logging.getLogger("bigtop.workers").warning("yes")
    assert [line[-3:] for line in path.read_text().splitlines()] == ["yes"]


def test_the_log_of_the_application_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    root = logging.getLogger().handlers[:]
    log.configure(path=str(path))
    logging.getLogger("myproj").error("not yours")
    assert path.read_text() == ""
    assert logging.getLogger().handlers == root


def test_json_lines_are_json_whatever_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    log.configure(path=str(path), json=True)
    nasty = 'quote " backslash \\ newline \n tab \t \x00 \u2028 é \udcff'
    logging.getLogger("bigtop").warning("%s", nasty)
    fail_and_log()
    logging.getLogger("bigtop").info("here", stack_info=True)
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [entry["message"] for entry in entries] == [nasty, "it broke", "here"]
    assert entries[0].keys() == {"time", "level", "pid", "logger", "message"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entries[0]["time"])
    assert (entries[0]["level"], entries[0]["pid"]) == ("warning", os.getpid())
    assert entries[1]["logger"] == "bigtop.tests"
    assert entries[1]["exception"].endswith("ZeroDivisionError: division by zero")
    assert "test_json_lines_are_json" in entries[2]["stack"]


def fail_and_log() -> None:
    try:
        print(1 / 0)
    except ZeroDivisionError:
        logging.getLogger("bigtop.tests").exception("it broke")


# ---- files


def test_standard_streams() -> None:
    program = (
        "import logging; from bigtop import log; log.configure(); logging.getLogger('bigtop').info('to err');"
        "file = log.AccessFile('-'); file.write('to out'); file.reopen(); file.close(); file.write('still')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "to out\nstill\n"
    assert done.stderr.endswith("[INFO] to err\n")


def test_a_second_configuration_replaces_the_first(tmp_path: Path) -> None:
    log.configure(path=str(tmp_path / "a"))
    log.configure("debug", path=str(tmp_path / "b"))
    logging.getLogger("bigtop").debug("x")
    assert (tmp_path / "a").read_text() == ""
    assert (tmp_path / "b").read_text().endswith("[DEBUG] x\n")


def test_a_log_that_cannot_be_opened_is_told_and_changes_nothing(tmp_path: Path) -> None:
    log.configure(path=str(tmp_path / "a"))
    missing = str(tmp_path / "none" / "b")
    for attempt in (lambda: log.configure(path=missing), lambda: AccessFile(missing)):
        with pytest.raises(ConfigError, match=f"cannot write the log {missing}: No such file or directory"):
            attempt()
    logging.getLogger("bigtop").info("still here")
    assert (tmp_path / "a").read_text().endswith("still here\n")


def test_after_a_rotation_both_logs_go_on_in_new_files(tmp_path: Path) -> None:
    log.configure(path=str(tmp_path / "error"))
    access = AccessFile(str(tmp_path / "access"))
    say(access, "one")
    for name in ("error", "access"):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    say(access, "two")  # a file that was moved is still ours
    log.reopen()
    access.reopen()
    say(access, "three")
    access.close()
    for name in ("error", "access"):
        old, new = (tmp_path / f"{name}.1").read_text(), (tmp_path / name).read_text()
        assert [line.split()[-1] for line in old.splitlines()] == ["one", "two"]
        assert [line.split()[-1] for line in new.splitlines()] == ["three"]


def say(access: AccessFile, text: str) -> None:
    logging.getLogger("bigtop").info(text)
    access.write(text)


def test_what_cannot_be_reopened_goes_on_in_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log.configure(path=str(tmp_path / "error"))
    access = AccessFile(str(folder / "access"))
    folder.rename(tmp_path / "moved")
    access.reopen()
    access.write("kept")
    access.close()
    assert (tmp_path / "moved" / "access").read_text() == "kept\n"
    assert "cannot reopen" in (tmp_path / "error").read_text()


def test_logs_are_not_for_everybody_and_not_inherited(tmp_path: Path) -> None:
    access = AccessFile(str(tmp_path / "access"))
    assert os.stat(access.path).st_mode & 0o007 == 0
    assert not os.get_inheritable(access.fd)
    access.reopen()
    assert not os.get_inheritable(access.fd)
    access.close()


def test_a_disk_that_is_full_costs_the_line_only() -> None:
    access = AccessFile("/dev/full")
    access.write("lost")
    access.close()


def test_a_pipe_that_is_full_delays_and_loses_nothing() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    access = AccessFile(f"/proc/self/fd/{write_end}")
    os.set_blocking(access.fd, False)
    text = "x" * 1_000_000  # many times what a pipe holds
    writer = threading.Thread(target=access.write, args=(text,))
    writer.start()
    received = b""
    while len(received) <= len(text):
        received += os.read(read_end, 65536)
    writer.join()
    assert received == text.encode() + b"\n"
    access.close()
    os.close(read_end)
    os.close(write_end)


def test_odd_text_becomes_bytes(tmp_path: Path) -> None:
    access = AccessFile(str(tmp_path / "access"))
    access.write("é \udcff")
    access.close()
    assert (tmp_path / "access").read_bytes() == "é \\udcff\n".encode()


def test_threads_and_processes_tear_no_line_even_while_files_rotate(tmp_path: Path) -> None:
    path = tmp_path / "access"
    writers, lines = 4, 400
    program = (
        "import sys, threading; from bigtop.log import AccessFile\n"
        "file = AccessFile(sys.argv[1])\n"
        "def run(name):\n"
        f"    for n in range({lines}):\n"
        "        file.write(f'{sys.argv[2]}{name} {n} ' + 'x' * (n % 200))\n"
        f"        if n % 100 == 50: file.reopen()\n"
        "threads = [threading.Thread(target=run, args=(name,)) for name in 'ab']\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, path, str(n)]) for n in range(writers)]
    rotations = 0
    while any(child.poll() is None for child in children):
        if path.exists():
            path.rename(tmp_path / f"access.{rotations}")
            rotations += 1
        children[rotations % writers].poll()
    assert [child.wait() for child in children] == [0] * writers
    seen = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert len(seen) == writers * 2 * lines
    for line in seen:
        match = re.fullmatch(r"\d[ab] (\d+) (x*)", line)
        assert match
        assert len(match[2]) == int(match[1]) % 200
    assert len({tuple(line.split()[:2]) for line in seen}) == len(seen)


@pytest.mark.case("A7")
def test_a_logger_that_is_made_by_another_class_becomes_ours(tmp_path: Path) -> None:
    class Mute(logging.Logger):
        def handle(self, record: logging.LogRecord) -> None:
            pass

    logging.setLoggerClass(Mute)
    try:
        made = log.logger("bigtop.made_behind_the_application")
    finally:
        logging.setLoggerClass(logging.Logger)
    log.configure(path=str(tmp_path / "log"))
    made.error("told")
    assert "told" in (tmp_path / "log").read_text()


@pytest.mark.case("A7")
def test_what_shuts_logging_down_closes_no_file_of_ours(tmp_path: Path) -> None:
    log.configure(path=str(tmp_path / "log"))
    logger = logging.getLogger("bigtop")
    for handler in logger.handlers:  # as logging.shutdown() does
        handler.flush()
        handler.close()
    logger.error("told")
    assert "told" in (tmp_path / "log").read_text()
