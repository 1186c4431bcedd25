# Table of cases: what people hit with servers and process managers, and the behaviour that Bigtop holds.
#
# Rule 1: a test names the cases that it holds by a mark, `@pytest.mark.case("E1")`.
# Rule 2: `tested=False` says that no test holds the case yet. tests/test_project.py refuses it where there is
# one: whoever adds the first test of a case deletes that line.
# Rule 3: docs/reference/cases.md is made from this table by `make docs`. The marks are read when the site is
# built, so that a new test makes no page stale.

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOMS = {
    "A": "Serving",
    "B": "Supervising",
    "C": "Coming from gunicorn",
    "D": "The repository",
    "E": "Security",
    "F": "Sites that moved",
}


class Case(NamedTuple):
    number: str
    kind: str
    behaviour: str
    tested: bool = True


CASES = (
    Case(
        "A1",
        "end of a worker",
        "When the grace period is over, calls are cancelled; then `finally` blocks, lifespan shutdown "
        "and exit handlers run. The supervisor waits a margin longer than the grace period, and logs "
        "why it kills.",
    ),
    Case(
        "A2",
        "response that can no longer be sent",
        "Iteration stops and `close()` is called as soon as no more of the body is due or the client "
        "left. ASGI's `send` raises then as for any client that left.",
    ),
    Case(
        "A3",
        "access to unix sockets",
        "Mode, owner and group of a unix socket can be set, and the umask applies to it as with "
        "gunicorn. `unix:@name` is an abstract socket.",
    ),
    Case(
        "A4",
        "hop-by-hop fields from applications",
        "They are dropped on every backend; each application and name gets one warning.",
    ),
    Case(
        "A5",
        "deploy by symbolic link",
        "A reload resolves the folder anew when `$PWD` names it. The log names the real folder of "
        "each generation.",
    ),
    Case(
        "A6",
        "`sys.exit` in a view",
        "That request gets 500 and every other one its response. The worker stays or drains, and the "
        "log names the exception.",
    ),
    Case(
        "A7",
        "application that configures logging",
        "Bigtop's log lines come through whatever the application does to `logging`.",
    ),
    Case(
        "A8",
        "errors at start-up",
        "A lifespan that fails after it received `lifespan.startup` is a failed boot with its "
        "traceback, and `sys.exit` there does not end in a restart loop.",
    ),
    Case(
        "A9",
        "fields from proxies",
        "A forwarded `wss` is understood, and so are gunicorn's names for a secure scheme, or they "
        "are refused by name.",
    ),
    Case(
        "A10",
        "application below a path",
        "`--root-path` and `SCRIPT_NAME` set the prefix for WSGI too and take it off the path where "
        "it is there.",
    ),
    Case(
        "A11",
        "field names with `_`",
        "Both interfaces treat them alike, and options decide what becomes of them.",
    ),
    Case(
        "A12",
        "wrapped files",
        "The kernel sends a file only when the response is that file's own bytes. All else is read.",
    ),
    Case(
        "A13",
        "start without standard streams",
        "Every command opens `/dev/null` on the descriptors 0, 1 and 2 that are closed, before "
        "anything else.",
    ),
    Case(
        "A14",
        "signals in a waiting process",
        "A signal wakes a process that waits, whenever it arrives.",
    ),
    Case(
        "A15",
        "application that ignores SIGCHLD",
        "It is served.",
    ),
    Case(
        "A16",
        "WebSocket versions",
        "A handshake with another version is refused and told which version would be right.",
    ),
    Case(
        "A17",
        "request targets in raw UTF-8",
        "Bytes from 0x80 on are taken as if they were percent-encoded; control characters and blanks "
        "are refused.",
    ),
    Case(
        "A18",
        "request methods",
        "Any token of at most 32 characters reaches the application; an option restricts them.",
    ),
    Case(
        "A19",
        "callables of any shape",
        "The interface of an application is recognised, or the start is refused and names `--interface`.",
    ),
    Case(
        "A20",
        "messages of a wrong type",
        "The error names the field and what was wrong, the same in the pure and in the compiled build.",
    ),
    Case(
        "A21",
        "limits of 0",
        "0 means unlimited, as with gunicorn, within the limit of the whole head.",
    ),
    Case(
        "B1",
        "no descriptors left",
        "Processes are not started while fewer descriptors than a reserve are free; one message says "
        "so, control answers, and what waits starts later.",
    ),
    Case(
        "B2",
        "logs that are not regular files",
        "Only regular files are rotated. Pipes and devices are written to, and `bigtop check` says "
        "that rotation has no effect there.",
    ),
    Case(
        "B3",
        "slow log sink",
        "Sinks do not wait for each other. The slow one drops lines, counts them and says so.",
    ),
    Case(
        "B4",
        "changed watcher in a reloaded file",
        "Its old process stops before the new one starts, as in Circus; `overlap` decides otherwise. "
        "If the new description fails, the old one comes back with the reason.",
    ),
    Case(
        "B5",
        "hooks at the end",
        "`after_stop` runs to its end, within its time limit, before the supervisor leaves.",
    ),
    Case(
        "B6",
        "no home folder",
        "The control channel uses the places that the file names, or a private folder; or there is "
        "none, with a warning.",
    ),
    Case(
        "B7",
        "descriptors of the caller",
        "No process that Bigtop starts inherits them.",
    ),
    Case(
        "B8",
        "stale pid file",
        "A lock decides whether Bigtop runs already, not the number in the file. A second start has "
        "an exit status of its own.",
    ),
    Case(
        "B9",
        "end of a critical watcher",
        "It ends the supervisor with the status of the watcher.",
    ),
    Case(
        "B10",
        "user without an entry",
        "A numeric user needs a group or runs with the same number and no other groups, never with root's.",
    ),
    Case(
        "B11",
        "what `check` refuses",
        "`check`, `run` and `reloadconfig` refuse the same mistakes, with file and line.",
    ),
    Case(
        "B12",
        "long and unfinished lines",
        "Output passes unchanged: nothing is inserted, and a rest without a newline is passed on "
        "after about a second.",
    ),
    Case(
        "B13",
        "supervisord's settings",
        "`convert` keeps the values of `environment` and finds equals for the settings of sockets and "
        "syslog.",
    ),
    Case(
        "B14",
        "refusals and kills",
        "Each is one log line with its reason, and whoever waits gets that reason.",
    ),
    Case(
        "B15",
        "names with blanks",
        "Completion quotes them. `quit` in the shell asks first.",
    ),
    Case(
        "B16",
        "systemd units",
        "`systemd-analyze verify` accepts what `bigtop init systemd` prints, for any folder and name.",
    ),
    Case(
        "B17",
        "wording of messages",
        "A message says what is meant, also for unusual input.",
    ),
    Case(
        "B18",
        "time in hooks",
        "Hooks get the wall clock, as in Circus.",
    ),
    Case(
        "C1",
        "`gunicorn.conf.py`",
        "It is taken as it is: `-c`, `GUNICORN_CMD_ARGS`, the file in the working folder by itself. HUP "
        "reads it again.",
    ),
    Case(
        "C2",
        "settings of gunicorn without an option of ours",
        "Each setting and flag of gunicorn 27 is taken, or refused by name with what to use instead, or set "
        "aside with a warning that says why.",
    ),
    Case(
        "C3",
        "hooks",
        "All of gunicorn's are called where it calls them, with the attributes that real files use; those of "
        "its master in a process of the site's user. `--hooks` has them without a file of gunicorn's.",
    ),
    Case(
        "C4",
        "child of multiprocessing that is not daemonic",
        "At its worker's end it has what remains of the grace period, at most 8 seconds; then one line names "
        "it, it is ended, and exit handlers run.",
    ),
    Case(
        "D1",
        "every supported Python",
        "`make test` passes with each Python that the README names, however the interpreter rounds. "
        "What others wrote is made one line in one place before a message quotes it.",
    ),
    Case(
        "D2",
        "documentation as a site",
        "The site has a first page in one screen, search, light and dark colours, copyable commands "
        "and each page in its navigation. The tests build it strictly.",
    ),
    Case(
        "D3",
        "compiled builds",
        "There are wheels for the supported Pythons. A build that compiles says how long that takes "
        "and how to do without.",
    ),
    Case(
        "D4",
        "security policy",
        "SECURITY.md says how to report, what is supported and what counts. A page tells who can reach what.",
    ),
    Case(
        "E1",
        "fork server that lies",
        "The supervisor adopts only its own children. Any other pid fails the generation.",
    ),
    Case(
        "E2",
        "links in place of access logs",
        "Opening a log follows no link and changes the owner only of a regular file with one name.",
    ),
    Case(
        "E3",
        "links in place of other logs",
        "Root appends nothing through a link that another user could place.",
    ),
    Case(
        "E4",
        "scoreboard cut short",
        "The scoreboard's memory is sealed: no worker can shrink it.",
    ),
    Case(
        "E5",
        "descriptors sent to the supervisor",
        "The supervisor takes no descriptor that it did not ask for.",
    ),
    Case(
        "E6",
        "numeric `--user`",
        "The process never keeps root's groups.",
    ),
    Case(
        "E7",
        "forwarded fields from strangers",
        "They do not reach the application, on either interface.",
    ),
    Case(
        "E8",
        "malformed messages of children",
        "They fail the generation and do not disturb the supervisor.",
    ),
    Case(
        "E9",
        "nonsense on the scoreboard",
        "It is no record. What goes wrong for one watcher does not stop the others' timers.",
    ),
    Case(
        "E10",
        "malformed transfers between applications",
        "They are dropped and closed; a client's address is believed only where the protocol is on. A queue "
        "or a listener that a neighbour made block, or shut down, holds up nobody.",
    ),
    Case(
        "E11",
        "flood of subscriptions",
        "Size and number of a client's subscriptions are bounded.",
    ),
    Case(
        "E12",
        "endless messages of many frames",
        "The size of a whole message is bounded.",
    ),
    Case(
        "E13",
        "costly patterns",
        "No pattern in a command holds up the supervisor.",
    ),
    Case(
        "E14",
        "links beside the pid file",
        "The pid file is created without following a link.",
    ),
    Case(
        "E15",
        "revoked keys",
        "A revoked key's connections end, or the documentation says how to end them.",
    ),
    Case(
        "E16",
        "quotes in `Forwarded`",
        "A client's field line cannot hide the proxy's own.",
    ),
    Case(
        "E17",
        "inherited internals",
        "Programs that an application starts inherit neither the scoreboard nor the settings.",
    ),
    Case(
        "E18",
        "records of other workers",
        "A worker cannot get another one killed, and what the log quotes is escaped.",
    ),
    Case(
        "E19",
        "empty lines before a request",
        "They do not extend the time limit.",
    ),
    Case(
        "E20",
        "user names in access lines",
        "They are escaped: no field can be forged.",
    ),
    Case(
        "F1",
        "WebSockets of threaded WSGI applications",
        "They get the socket in the environ as under gunicorn, and a drain ends them with 1012.",
    ),
    Case(
        "F2",
        "PasteDeploy",
        "`serve`, `run`, `worker` and `check` load `paste:FILE` the same way.",
    ),
    Case(
        "F3",
        "client that left",
        "It is no error in the log.",
    ),
    Case(
        "F4",
        "application that patches `os`",
        "Bigtop uses what it took before the application was imported.",
    ),
    Case(
        "F5",
        "requests cut off by a stop",
        "Each is a warning with method, path, age and client.",
    ),
    Case(
        "F6",
        "error pages in the access log",
        "The line has the bytes of the page.",
    ),
    Case(
        "F7",
        "time zone of logs",
        "All lines of a file have one time zone, which an option chooses.",
    ),
    Case(
        "F8",
        "switches without a value",
        "gunicorn's bare switches are understood.",
    ),
    Case(
        "F9",
        "output of several programs",
        "On a shared stream each line begins with its watcher's name.",
    ),
    Case(
        "F10",
        "what a reload proves",
        "The documentation says what a reload checks and what it does not.",
    ),
    Case(
        "F11",
        "debuggers and measuring tools",
        "A guide shows how to use them, and tests try each of its commands.",
    ),
)


def marked_tests(folder: Path) -> Mapping[str, list[str]]:
    """Return the tests below a folder that hold each case, as `path/test_file.py::test_name`."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for number, name in _marked(ast.parse(path.read_text())):
            where = str(path.relative_to(folder)) + (f"::{name}" if name else "")
            if where not in found.setdefault(number, []):
                found[number].append(where)
    return found


def _marked(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, str]]:
    """Yield the number of each mark below a node, and the name of the test that bears it."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from _marked(node, f"{owner}::{node.name}" if owner else node.name)
            case ast.Call(func=ast.Attribute(attr="case") as mark) if ast.unparse(mark) == "pytest.mark.case":
                # What is no plain text is no number of a case either, and is shown as it is written.
                yield from ((ast.unparse(argument).strip("'"), owner) for argument in node.args)
            case _:
                yield from _marked(node, owner)
