# Actions that a person may take in the console, and what each asks the daemon for.
#
# Rule: pure. What does not stand here cannot be asked for through the console, whatever a page sends.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bigtop.record import Record, field
from bigtop.web.access.roles import ADMIN, OPERATE

Properties = dict[str, Any]


class DeclinedError(ValueError):
    """What was sent is none of our actions; the message is for the page."""


class Action(Record):
    """`reads`: it changes nothing and is answered at once. `fields` name what it takes, and how that is
    read."""

    command: str
    role: str
    fields: Mapping[str, Callable[[object], Any]]
    reads: bool = False
    waits: bool = True  # the daemon says when it is done
    words: str = ""  # of the audit log
    fixed: Mapping[str, Any] = field(default_factory=dict)  # properties that nobody chooses
    of_cluster: bool = False  # the controller of the cluster is asked, not a daemon


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise DeclinedError("a text is needed")
    return value


def _count(value: object) -> str:
    text = str(value)
    least, dots, most = text.partition("..")
    if not (least.isdecimal() and (not dots or most.isdecimal())) or len(text) > 12:
        raise DeclinedError("a number is needed, or the least and the most, as 2..8")
    return text


def _number(value: object) -> int:
    if type(value) is not int or not 0 < value < 1 << 31:
        raise DeclinedError("a number is needed")
    return value


def _signal(value: object) -> str:
    text = _text(value).upper().removeprefix("SIG")
    if not text.isalnum():
        raise DeclinedError("a signal is needed, by name or number")
    return text


def _switch(value: object) -> bool:
    if type(value) is not bool:
        raise DeclinedError("true or false is needed")
    return value


def _steering(how: str) -> Action:
    words, fields = f"{how} the rollout of {{app}}", {"app": _text}
    return Action("steer", OPERATE, fields, waits=False, words=words, fixed={"how": how}, of_cluster=True)


def _cordon(is_on: bool, words: str) -> Action:
    fixed, fields = {"cordoned": is_on}, {"node": _text}
    return Action("cordon", OPERATE, fields, waits=False, words=words, fixed=fixed, of_cluster=True)


_NAME: Final[Mapping[str, Callable[[object], Any]]] = {"name": _text}
ACTIONS: Final[Mapping[str, Action]] = {
    "start": Action("start", OPERATE, _NAME, words="start {name}"),
    "stop": Action("stop", OPERATE, _NAME, words="stop {name}"),
    "restart": Action("restart", OPERATE, _NAME, words="restart {name}"),
    "reload": Action("reload", OPERATE, _NAME, words="reload {name}"),
    "rollback": Action("rollback", OPERATE, _NAME, words="roll {name} back"),
    "scale": Action("scale", OPERATE, {"name": _text, "count": _count}, words="scale {name} to {count}"),
    "signal": Action(
        "signal",
        OPERATE,
        {"name": _text, "pid": _number, "signum": _signal},
        waits=False,
        words="send {signum} to process {pid} of {name}",
    ),
    "replace": Action(
        "kill", OPERATE, {"name": _text, "pid": _number}, words="replace process {pid} of {name}"
    ),
    "reloadconfig": Action("reloadconfig", ADMIN, {}, words="read the configuration again"),
    **{how: _steering(how) for how in ("pause", "resume", "promote", "abort")},
    "revert": _steering("rollback"),
    "cordon": _cordon(True, "cordon {node}"),
    "uncordon": _cordon(False, "have {node} take new revisions again"),
    # What only looks:
    "plan": Action("reloadconfig", ADMIN, {"dry_run": _switch}, reads=True, waits=False),
    "stack": Action(
        "stack", OPERATE, {"target": _text}, reads=True, waits=False, words="read stacks of {target}"
    ),
    "options": Action("options", OPERATE, _NAME, reads=True, waits=False),
    "explain": Action("explain", "view", _NAME, reads=True, waits=False),
}


class Order(Record):
    """One action as it was asked for."""

    word: str
    daemon: str
    properties: Mapping[str, Any]

    @property
    def action(self) -> Action:
        return ACTIONS[self.word]

    @property
    def words(self) -> str:
        """What is done, for people; "" for what nobody needs to remember."""
        return self.action.words.format(**self.properties)


def read(said: object) -> Order:
    """Return the order that a page sent; DeclinedError: it is none."""
    if not isinstance(said, Mapping):
        raise DeclinedError("an object is needed")
    word, daemon = said.get("do"), said.get("daemon")
    if not isinstance(word, str) or word not in ACTIONS:
        raise DeclinedError(f"there is no action {word!r:.60}")
    if not isinstance(daemon, str):
        raise DeclinedError("which daemon?")
    action = ACTIONS[word]
    if strange := said.keys() - action.fields.keys() - {"do", "daemon"}:
        raise DeclinedError(f"{word} takes no {', '.join(sorted(map(str, strange)))}"[:100])
    properties: Properties = dict(action.fixed)
    for name, parse in action.fields.items():
        if name not in said:
            raise DeclinedError(f"{word} needs {name}")
        try:
            properties[name] = parse(said[name])
        except DeclinedError as error:
            raise DeclinedError(f"{name}: {error}") from None
    if word == "plan":
        properties["dry_run"] = True
    if action.waits:
        properties["waiting"] = True
    return Order(word, daemon, properties)
