# Writes the pages of docs/reference/ that the code knows better: python docs/generate.py
#
# Rule: what is written depends on the code alone, so that tests/test_project.py can tell a stale page.

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bigtop.config import daemon_options, watcher_options
from bigtop.config.key import Key
from bigtop.config.option import Group, Option
from bigtop.config.options import OPTIONS
from bigtop.control import parameters
from bigtop.control.command import Command
from bigtop.control.commands import COMMANDS
from bigtop.control.parameters import Kind, Parameter

HERE = Path(__file__).resolve().parent

HEAD = """\
<!-- Made from bigtop/config/options.py by `make docs`; change that table instead. -->

# bigtop serve

```console
bigtop serve [OPTIONS] APP
```

`APP` is `package.module:attribute`, `package.module:factory()`, or a module alone, in which `application` and
then `app` are looked for; instead of a module it may be the path of a file.

Every option may also be a variable in the environment, and `BIGTOP_CMD_ARGS` may hold a whole command line.
What stands on the command line wins over `BIGTOP_CMD_ARGS`, that over the single variables. A switch such as
`--reload` has an opposite, `--no-reload`.
`bigtop serve --print-config APP` shows every value and where it comes from.
"""

TAIL = """\
## From Python

```python
import bigtop

bigtop.serve("myproj.wsgi:app", workers=8, bind="127.0.0.1:8000")
```

does the same: the names of the arguments are those of the options, with `_` for `-`. gunicorn's names of
settings are understood too. Errors are exceptions ([exit statuses](exit-statuses.md)).
"""


def serve_page() -> str:
    return "\n".join([HEAD, *(_section(group) for group in Group), TAIL])


def _section(group: Group) -> str:
    rows = [_row(option) for option in OPTIONS if option.group is group]
    head = (f"## {group.value}\n", "| option | variable | default | |", "| --- | --- | --- | --- |")
    return "\n".join([*head, *rows, ""])


def _row(option: Option[object]) -> str:
    flags = ", ".join(f"`{flag}`" for flag in option.flags)
    takes = f" *{option.metavar}*" if option.metavar else ""
    default = f"`{' '.join(option.default)}`" if option.default else ""
    repeatable = " May be repeated." if option.many else ""
    cells = (flags + takes, f"`{option.variable}`", default, option.help + repeatable)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


CONTROL_HEAD = """\
<!-- Made from bigtop/control/ by `make docs`; change the commands there instead. -->

# Control channel

```console
bigtop ctl [OPTIONS] [COMMAND] [WORDS]
```

`bigtop ctl` controls running supervisors; without a command it reads commands, with completion and a history.
How to reach one, and who may, is in [Control a running Bigtop](../howto/control.md).

## Exit statuses

| status | meaning |
| --- | --- |
| 0 | Done. |
| 1 | The command was refused or failed; the message says why. |
| 2 | The command line cannot be understood. Nothing was sent. |
| 3 | `status NAME`: the watcher is there, but not active. |
| 69 | Nobody answers there, or the connection broke before the reply came. |
| 75 | No reply in time. The command may still be carried out. |
| 77 | The key may not do that. |
| 78 | A key file or an endpoint is wrong. |

With several endpoints the highest one counts.

## Commands

A command goes over ZeroMQ as one JSON frame from a DEALER (or REQ) socket:
`{"command": "incr", "properties": {"name": "web", "nb": 2, "waiting": true}, "id": "7"}`. The properties have
the names below. The reply is one frame, `{"status": "ok", "time": ..., "numprocesses": 4, "id": "7"}`, or
`{"status": "error", "reason": "...", "errno": 3, ...}`. With `"msg_type": "cast"` there is none. The clients
of Circus 0.19 work as they are.

Commands for one watcher are obeyed in the order in which they come, and none waits for another: the newest
wins, and who waits for one that was overtaken is told so. With `waiting` the reply comes at the end; without,
it is an ok as soon as the command is under way, and what fails later is in the log. A watcher that cannot be
started is tried `max_retry` times; who waits for it, or for one that depends on it, then gets an error that
says why. If it is tried without limit, the error comes as soon as there are pauses between the tries.
"""

CONTROL_TAIL = """\
## Error numbers

| errno | meaning |
| --- | --- |
| 1 | The frame is no JSON object. |
| 2 | There is no such command. |
| 3 | A property is missing or wrong, or names nothing that there is. |
| 4 | The system refused (permissions, files). |
| 5 | It could not be done. |
| 6 | A mistake in Bigtop; the log has it. |
| 7 | The key's role does not include the command. |

A frame of more than 1 MiB ends the connection. A client may have 100 commands that are not finished.

## Events

Two frames from an XPUB socket: the topic `watcher.NAME.EVENT` and a JSON object that always has `time`. NAME
is in small letters, with `_` for spaces and dots.

| event | also says | when |
| --- | --- | --- |
| `spawn` | `process_pid` | a process was started |
| `start`, `stop` | | the watcher became active, is stopped |
| `kill` | `process_pid` | a process was asked to leave |
| `reap` | `process_pid`, `exit_code` (negative: a signal) | a process is gone, for whatever reason |
| `died` | `wid`, `exit_code`, `was_ready`, `deaths`, `retry_in` | it should not have |
| `stuck` | `reason` | a process is replaced because it does not get on |
| `gave_up` | `reason` | the watcher cannot run |
| `reload` | `generation` | every process is of the new generation |
| `reload_failed` | `generation`, `kept`, `reason` | the old generation goes on |
| `updated` | `options` | options were changed |
| `add`, `remove` | | a watcher came, went |
| `hook_success`, `hook_failure` | `name`, `error` | a hook was run |

`arbiter.STATUS` tells the status of the supervisor itself. `output.NAME.` carries lines of output (`pid`,
`stream`, `line`) while somebody subscribes to it.

## From Python

```python
from bigtop.control.client import AsyncClient, Client

with Client("site") as client:
    client.call("incr", name="web", nb=2, waiting=True)["numprocesses"]
    for event in client.events("watcher.web."):
        print(event.name, event.payload)
```

`AsyncClient` is the same for asyncio. Both raise `RefusedError`, `UnreachableError` and `NoReplyError`.
"""


def control_page() -> str:
    return "\n".join([CONTROL_HEAD, *(_command(command) for command in COMMANDS), CONTROL_TAIL])


def _command(command: type[Command]) -> str:
    fields = parameters.of(command)
    role = command.role.name.lower()
    lines = [f"### {command.word}\n", f"{command.__doc__} Role: {role}.\n"]
    if fields:
        lines += ["| property | `bigtop ctl` | |", "| --- | --- | --- |"]
        lines += [_property(name, parameter) for name, (parameter, _) in fields.items()]
        lines.append("")
    return "\n".join(lines)


def _property(name: str, parameter: Parameter) -> str:
    match parameter.kind:
        case Kind.ARGUMENT | Kind.WORDS | Kind.PAIRS:
            written = name.upper()
        case Kind.SETTINGS:
            written = "`--option`"
        case Kind.WIRE_ONLY:
            written = ""
        case Kind.FLAG | Kind.OPTION:
            written = f"`--{(parameter.flag or name).replace('_', '-')}`"
    return f"| `{name}` | {written} | {parameter.about} |"


CONFIG_HEAD = """\
<!-- Made from bigtop/config/{watcher,daemon}_options.py by `make docs`; change those tables instead. -->

# The configuration file

```console
bigtop check FILE
bigtop convert FILE -o OUT
```

`bigtop check` reads a file, shows each value with its line, and names everything that is wrong or unwise.
It starts nothing. `bigtop convert` turns a Circus INI file or a `supervisord.conf` into TOML.

A file is TOML if its name ends with `.toml`, otherwise INI as Circus reads it. Both have the same sections
and keys:

| INI | TOML | |
| --- | --- | --- |
| `[circus]` | `[circus]` or `[bigtop]` | what concerns all |
| `[watcher:web]` | `[watcher.web]` | a command to keep running |
| `[socket:web]` | `[socket.web]` | a socket for those who name it, `$(circus.sockets.web)` |
| `[app:web]` | `[app.web]` | a WSGI or ASGI application |
| `[plugin:x]` | `[plugin.x]` | a plugin of Circus |
| `[env]`, `[env:web*,api]` | `[env]`, `[env."web*,api"]` | variables for all, or for matching names |
| `hooks.NAME`, `rlimit_NAME` | `[watcher.web.hooks]`, `[watcher.web.rlimits]` | the names are keys there |
| `flapping.KEY`, `stdout_stream.KEY` | `[watcher.web.flapping]` and so on | as in INI, or as tables |
| any other key of a watcher | `[watcher.web.options]` | free-form options, for plugins and hooks |

In TOML an unknown key is an error. In INI it is what Circus makes of it: an option of the watcher, or
nothing.

In an INI file

- a comment begins with `#` or `;` in the first column, or with `;` after a blank;
- lines that begin with a blank continue the value above; `""` is the empty text;
- a section may be repeated, and the *first* value of a key counts. So the main file wins over what
  `include` and `include_dir` add to it.

In both, `$(circus.env.NAME)` and `((circus.env.NAME))` in any value are replaced by variables of Bigtop's
own environment and of the env sections when the file is read; `$(circus.wid)`, `$(circus.sockets.NAME)` and
the watcher's own keys in a command when a process is started. In env sections `$NAME` is a variable of
Bigtop's own environment. Delays are seconds, with fractions if need be; sizes may end with `k`, `M` or `G`;
umasks are octal, and texts in TOML.

Keys marked * are Bigtop's own.
"""


def config_page() -> str:
    watcher = [key for key in watcher_options.WATCHER if not key.name.startswith(("rlimit_", "hooks."))]
    sections = {
        "## [circus]": daemon_options.CIRCUS,
        "## [watcher:NAME]": [*watcher, *_families()],
        "## [socket:NAME]": daemon_options.SOCKET,
        "## [plugin:NAME]": daemon_options.PLUGIN,
        "## [app:NAME]": daemon_options.APP,
    }
    notes = {
        "## [plugin:NAME]": "All keys of a watcher may stand here too. The plugin is given every key.\n",
        "## [app:NAME]": "All options of [bigtop serve](serve.md) may stand here too, with `_` for `-`.\n",
    }
    parts = [CONFIG_HEAD]
    for title, keys in sections.items():
        parts += [f"{title}\n", "| key | | default | |", "| --- | --- | --- | --- |"]
        parts += [_key_row(key) for key in keys if not key.is_dead]
        dead = [f"`{key.name}` ({key.help})" for key in keys if key.is_dead]
        parts += [""] + (
            [f"Accepted, with a warning, and without effect: {', '.join(dead)}.\n"] if dead else []
        )
        parts += [notes[title]] if title in notes else []
    return "\n".join(parts).rstrip() + "\n"


def _families() -> Iterable[Key[object]]:
    limit, hook = watcher_options.RLIMITS[0], watcher_options.HOOKS[0]
    limits = ", ".join(key.name.removeprefix("rlimit_") for key in watcher_options.RLIMITS)
    hooks = ", ".join(watcher_options.HOOK_NAMES)
    yield Key("rlimit_LIMIT", limit.parse, "N", f"Soft and hard limit; empty is infinity. LIMIT: {limits}.")
    yield Key("hooks.HOOK", hook.parse, hook.takes, f"{hook.help} HOOK: {hooks}.")
    for stream in watcher_options.STREAMS:
        yield Key(
            f"{stream}.KEY",
            hook.parse,
            "TEXT",
            "`class` is where the output goes; other keys are options of it.",
        )


def _key_row(key: Key[object]) -> str:
    default = f"`{' '.join(key.default)}`" if any(key.default) else ""
    cells = (f"`{key.name}`{'*' * key.ours}", f"*{key.takes}*", default, key.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    (HERE / "reference" / "control.md").write_text(control_page())
    (HERE / "reference" / "serve.md").write_text(serve_page())
    (HERE / "reference" / "config.md").write_text(config_page())
