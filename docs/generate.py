# Writer of the pages of docs/reference/ that the code knows better, and of the names of files in the table of
# rooms of docs/explanation/architecture.md: python docs/generate.py [FOLDER]
#
# Rule 1: what is written depends on the code alone, so that tests/test_project.py can tell a stale page.
# Rule 2: what changes with every new test is added when the site is built, by site.py.

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bigtop.config.file.options import (
    cluster_options,
    daemon_options,
    stats_options,
    watcher_options,
    web_options,
)
from bigtop.config.file.text.key import Key
from bigtop.config.gunicorn.setting import AppName, ByApplication, Hook, Refused, SetAside, Setting, Taken
from bigtop.config.gunicorn.settings import HEADINGS
from bigtop.config.serve.option import Group, Option
from bigtop.config.serve.options import OPTIONS
from bigtop.control.commands import parameters
from bigtop.control.commands.base import Command
from bigtop.control.commands.parameters import Kind, Parameter
from bigtop.control.commands.table import COMMANDS
from bigtop.plugins.circus.plugin import CircusPlugin
from bigtop.plugins.lookup import BUILTINS, OF_CIRCUS, find
from bigtop.plugins.options import options_of
from bigtop.plugins.options import rows as rows_of
from bigtop.plugins.orders import PROGRAM
from bigtop.plugins.plugin import Plugin
from bigtop.stats.export.metrics import METRICS
from bigtop.stats.export.metrics import Kind as MetricKind
from bigtop.supervisor.policy.spec import HOOK_NAMES

HERE = Path(__file__).resolve().parent

HEAD = """\
<!-- Made from bigtop/config/serve/options.py by `make docs`; change that table instead. -->

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

WITHOUT = """\
## What a server does without

The native servers `wsgi`, `gevent` and `asgi` heed all of these options, but for some that make no sense
there. One that is set all the same is named in a warning. One that would protect is refused
(`--limit-concurrency`, `--ws-origins`), and so is `--threads`. Other servers: [Backends](backends.md).
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
    return "\n".join([HEAD, *(_section(group) for group in Group), _without(), TAIL])


def _section(group: Group) -> str:
    rows = [_row(option) for option in OPTIONS if option.group is group]
    head = (f"## {group.value}\n", "| option | variable | default | |", "| --- | --- | --- | --- |")
    return "\n".join([*head, *rows, ""])


def _without() -> str:
    rows = ["| option | not with | because |", "| --- | --- | --- |"]
    for option in OPTIONS:
        for reason in dict.fromkeys(one.reason for one in option.without):
            names = ", ".join(f"`{one.backend}`" for one in option.without if one.reason == reason)
            rows.append(f"| `{option.flag}` | {names} | {reason} |")
    return "\n".join([WITHOUT, *rows, ""])


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

## The shell

```console
$ bigtop ctl
bigtop> status web
active
bigtop> help incr
bigtop> quit
This stops everything, the supervisor included; `exit` leaves only here. Stop? [y/N]: n
bigtop> exit
```

A line is what follows `bigtop ctl` on a command line. A line that fails ends nothing. Besides:

| line | meaning |
| --- | --- |
| `help`, `?` | All commands. |
| `help COMMAND`, `? COMMAND`, `?COMMAND` | What a command does, and its options. |
| `exit`, Ctrl-D, `EOF` | Leave the shell. Nothing that runs notices. |
| Ctrl-C | Drop the line. |
| `quit` | Stop everything, the supervisor included. Asks first on a terminal; a script means it. |

Circus' `circusctl` has the same words, but for `exit`; its `quit` does not ask.

## Commands

A command goes over ZeroMQ as one JSON frame from a DEALER (or REQ) socket:
`{"command": "incr", "properties": {"name": "web", "nb": 2, "waiting": true}, "id": "7"}`. The properties have
the names below. The reply is one frame, `{"status": "ok", "time": ..., "numprocesses": 4, "id": "7"}`, or
`{"status": "error", "reason": "...", "errno": 3, ...}`. With `"msg_type": "cast"` there is none. With
`"role": "view"` the command is for somebody who may no more than that, whatever the sender may. The clients
of Circus 0.19 work as they are.

Commands for one watcher are obeyed in the order in which they come, and none waits for another: the newest
wins, and who waits for one that was overtaken is told so. With `waiting` the reply comes at the end; without,
it is an ok as soon as the command is under way, and what fails later is in the log. A watcher that cannot be
started is tried `max_retry` times; who waits for it, or for one that depends on it, then gets an error that
says why. If it is tried without limit, the error comes as soon as there are pauses between the tries.
Processes that had to be killed are in the reply, each with the reason:
`"killed": ["web: process 812 was killed: still there 30 seconds after it was asked to end"]`.
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

A client may have 100 commands that are not finished. A frame of more than 1 MiB ends the connection,
and so does a message of many frames that together are larger. An endpoint takes 128 clients at once;
more wait until one leaves, and one that does not shake hands is ended after 5 seconds. A subscriber may
have 1,000 topics, of at most 256 bytes each and 16 KiB together. A client may send a heartbeat
(`ZMQ_HEARTBEAT_IVL`) each second, not more often. Each connection that is ended for what it sent has one
line in the log that says why. When a key is removed from `client_keys`, its connections end within about
a second.

`match=glob` understands `*`, `?` and `[...]`; the whole name has to fit. `match=regex` understands regular
expressions of Python; the beginning of the name has to fit. Upper and lower case are the same to both. A
pattern has at most 250 characters.

```console
$ bigtop ctl restart 'web-*' --match glob
$ bigtop ctl restart 'web-[0-9]+$' --match regex
```

So that no pattern can keep the supervisor busy, an expression is refused if it looks at more than the next
character: references back, looking ahead and behind (`(?=...)`, `(?<!...)`), word boundaries, possessive and
atomic groups (`a*+`, `(?>...)`), flags (`(?i)`). So is one that stands for more than 1,000 steps, such as
`(a{40}){40}`.

## Events

Two frames from an XPUB socket: the topic `watcher.NAME.EVENT` and a JSON object that always has `time`. NAME
is in small letters, with `_` for spaces and dots.

| event | also says | when |
| --- | --- | --- |
| `spawn` | `process_pid` | a process was started |
| `start`, `stop` | | the watcher became active, is stopped |
| `kill` | `process_pid` | a process was asked to leave |
| `reap` | `process_pid`, `exit_code` (a signal is negative), `killed`, `out_of_memory` | a process is gone |
| `died` | those of `reap`, `wid`, `was_ready`, `deaths`, `retry_in` | it should not have |
| `scaled` | `before`, `numprocesses`, `reason` | the number follows the load |
| `stuck` | `reason`, `action` | a request is late; `action` is `report`, or `retire`: it is replaced |
| `gave_up` | `reason` | the watcher cannot run |
| `finished` | | all processes ended, and none is started again |
| `short` | `reason` | processes wait until there is room for them; an empty reason: there is room again |
| `verify` | `generation`, `step` | a step of the trial of new code begins |
| `passed` | `generation`, `step`, `how` | new code has passed a step of its trial |
| `reload` | `generation` | every process is of the new generation |
| `reload_failed` | `generation`, `kept`, `reason` | the old generation goes on |
| `reforking` | `wid`, `generation` | a worker is to be the fork server of a generation of the same code |
| `reforked` | `generation`, `wid` | every process was forked from what was that worker |
| `refork_failed` | `generation`, `kept`, `reason` | it cannot be one, and all goes on as before |
| `fork_server_died` | `generation`, `kept`, `reason` | it is; `kept`: it was to go back to |
| `recovered` | `generation`, `lost` | that code has shown that it works, and every process is of it |
| `recovery_failed` | `generation`, `kept`, `reason`, `retry_in` | it has not; seconds until the next |
| `unchecked` | `generation`, `lost` | no process was left, so it serves without its checks |
| `updated` | `fields`, `reason` | the description was changed; with a reason: changed back |
| `add`, `remove` | | a watcher came, went |
| `hook_success`, `hook_failure` | `name`, `error` | a hook was run |
| `certificate_renewed` | `names` | a CA has issued a certificate, the first one or a renewed one |
| `certificate_failed` | `names`, `reason`, `hints` | a CA did not; hints are what seems wrong from here |
| `certificate_ends` | `names`, `days` | less than a third of its time is left |

`arbiter.EVENT` tells what becomes of the supervisor itself:

| event | also says | when |
| --- | --- | --- |
| `starting`, `stopping`, `stopped` | | `bigtop run` begins, is told to end, has ended all |
| `upgraded` | `attempt`, `version` | that version has taken over, and you have connected again |
| `upgrade_refused` | `attempt`, `version`, `reason` | that version goes on; the new one cannot |

`output.NAME.` carries lines of output (`pid`, `stream`, `line`, `number`) while somebody subscribes to it.
Who reads too slowly loses lines: numbers grow by one, so one that is missing is that of a line that was lost.

## From Python

```python
from bigtop import AsyncClient, Client

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
<!-- Made from bigtop/config/file/ (*_options.py) by `make docs`; change those tables instead. -->

# The configuration file

```console
bigtop check FILE
bigtop convert FILE -o OUT
```

`bigtop check` reads a file, shows each value with its line, and names everything that is wrong or unwise.
It starts nothing. `bigtop convert` turns files and command lines of other programs into TOML:

| of | it takes |
| --- | --- |
| [Circus](../howto/from-circus.md) | an INI file, and what it includes |
| [supervisord](../howto/from-circus.md#come-from-supervisord) | `supervisord.conf` |
| [gunicorn](../howto/from-gunicorn.md) | `gunicorn.conf.py`, which is executed; a command line |
| [uvicorn](../howto/asgi.md#coming-from-uvicorn), granian | a command line |
| [uWSGI](../howto/from-uwsgi.md) | an INI file, a command line |
| [honcho, foreman](../howto/from-procfile.md) | a `Procfile`, and the `.env` beside it |
| [pm2](../howto/from-procfile.md#come-from-pm2) | an ecosystem file in JSON |

```console
bigtop convert uwsgi.ini -o bigtop.toml
bigtop convert --command "uvicorn myproj.asgi:app --workers 4" -o bigtop.toml
bigtop convert start.sh --from command
```

Whose file it is, `bigtop convert` finds out by its name and contents; `--from` says it where that fails. A
command line may stand in a script. Its variables have the values that they have when it is converted. What
has no equal becomes a comment that begins with `no equal` and says what to use instead.

A file is TOML if its name ends with `.toml`, otherwise INI as Circus reads it. A web application and a
program beside it, in both:

```toml title="stack.toml"
[app.site]
app = "myproj.wsgi:app"
bind = ["127.0.0.1:8000"]
workers = 4

[watcher.celery]
cmd = "celery -A myproj worker"
numprocesses = 2
graceful_timeout = 60

[watcher.celery.stdout_stream]
class = "FileStream"
filename = "/var/log/celery.log"
```

```ini title="stack.ini"
[app:site]
app = myproj.wsgi:app
bind = 127.0.0.1:8000
workers = 4

[watcher:celery]
cmd = celery -A myproj worker
numprocesses = 2
graceful_timeout = 60
stdout_stream.class = FileStream
stdout_stream.filename = /var/log/celery.log
```

Both have the same sections and keys:

| INI | TOML | |
| --- | --- | --- |
| `[circus]` | `[circus]` or `[bigtop]` | what concerns all |
| `[stats]` | `[stats]` | that figures are published, and how often; it switches `statsd` on |
| `[admin]` | `[admin]` | where probes and metrics are answered |
| `[web]` | `[web]` | the web console |
| `[tls]` | `[tls]` | what all applications that speak TLS have in common |
| `[watcher:web]` | `[watcher.web]` | a command to keep running |
| `[socket:web]` | `[socket.web]` | a socket for those who name it, `$(circus.sockets.web)` |
| `[app:web]` | `[app.web]` | a WSGI or ASGI application |
| `[path:web:/api/]` | `[app.web.paths."/api/"]` | its options that are others for a path |
| `[plugin:x]` | `[plugin.x]` | a plugin, of Bigtop, of Circus or your own |
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
Bigtop's own environment, and in TOML `$$` is a dollar sign: `PASSWORD = "pa$$WORD"` is `pa$WORD`. Delays are
seconds, with fractions if need be; sizes may end with `k`, `M` or `G`; umasks are octal, and texts in TOML.

Keys marked * are Bigtop's own.
"""


def config_page() -> str:
    watcher = [key for key in watcher_options.WATCHER if not key.name.startswith(("rlimit_", "hooks."))]
    sections = {
        "## [circus]": daemon_options.CIRCUS,
        "## [stats]": stats_options.STATS,
        "## [admin]": stats_options.ADMIN_KEYS,
        "## [web]": web_options.WEB,
        "## [cluster]": cluster_options.CLUSTER,
        "## [watcher:NAME]": [*watcher, *_families()],
        "## [socket:NAME]": daemon_options.SOCKET,
        "## [plugin:NAME]": daemon_options.PLUGIN,
        "## [app:NAME]": daemon_options.APP,
    }
    notes = {
        "## [plugin:NAME]": "All keys of a watcher may stand here too. All others are options of the plugin: "
        "[those that come with Bigtop](plugins.md), [your own](../howto/plugins.md).\n",
        "## [app:NAME]": "All options of [bigtop serve](serve.md) may stand here too, with `_` for `-`, "
        "but for those that are of Bigtop as a whole; a file that has one of these is refused:\n\n"
        + "".join(
            f"- `{name}`: {instead}.\n" for name, instead in sorted(daemon_options.NOT_OF_APPS.items())
        ),
    }
    notes["## [app:NAME]"] += (
        "\n## [tls]\n\nThese options of [bigtop serve](serve.md#tls) count for every application that speaks "
        "TLS, unless its own section says otherwise. With `tls` here all do but those with `tls = []`: "
        + ", ".join(f"`{option.name}`" for option in daemon_options.TLS_OPTIONS)
        + ".\n"
    )
    notes["## [app:NAME]"] += (
        "\n## [path:NAME:PATH]\n\nOptions of the application NAME that are others for requests of one "
        '[path](../howto/paths.md); in TOML the table `[app.NAME.paths."PATH"]`. Such options are '
        + ", ".join(f"`{option.name}`" for option in daemon_options.PATH_OPTIONS)
        + ".\n"
    )
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
    hooks = ", ".join(HOOK_NAMES)
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


GUNICORN_HEAD = """\
<!-- Made from bigtop/config/gunicorn/ by `make docs`; change those tables instead. -->

# gunicorn's settings

Every setting of gunicorn 27, and what it means to `bigtop serve`. How to move is in
[Come from gunicorn](../howto/from-gunicorn.md).

- *Taken*: it is the option that is named, whose default may be another one; or what is said of it.
- *Refused*: Bigtop ends with status 78 and says what to do instead. gunicorn's default is never refused.
- *Set aside*: nothing is missing without it. A warning says so once.

## The file

`-c FILE`, `-c python:MODULE`, or `gunicorn.conf.py` in the working folder by itself; `-c off` takes none.
`bigtop.serve()` takes none by itself.

```console
$ cat gunicorn.conf.py
wsgi_app = "myproj.wsgi"
workers = 4
$ bigtop serve
```

From the weakest to the strongest: `$WEB_CONCURRENCY`, `$PORT` and `$FORWARDED_ALLOW_IPS`; the file;
`$GUNICORN_CMD_ARGS`; `$BIGTOP_*` and `$BIGTOP_CMD_ARGS`; the command line. `--print-config` shows the line
of each value.

The file is executed in a process of its own, which hands its settings to the supervisor; and once more in
each fork server, as the user of the site and before the application is imported, so that the application
finds what the file puts into `os.environ`. HUP reads it again. What cannot be changed without a new start
(`bind`, `user`, `worker_class` ...) is named in a warning and stays. A mistake in the file changes nothing:
the log names the line.

A file that sets `gunicorn.SERVER` sets `--server-header`. `gunicorn.SERVER_SOFTWARE` has no effect, and a
warning says so.

## Flags

gunicorn's flags are understood as well, with the same fate:

```console
$ bigtop serve --paste-global a=b myproj.wsgi
bigtop: --paste-global: write such variables into [DEFAULT] of the PasteDeploy file
```
"""


def gunicorn_page() -> str:
    parts = [GUNICORN_HEAD]
    for title, settings in HEADINGS.items():
        parts += [f"## {title}\n", "| setting | flags | gunicorn's default | |", "| --- | --- | --- | --- |"]
        parts += [_setting_row(setting) for setting in settings]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _setting_row(setting: Setting) -> str:
    flags = ", ".join(f"`{flag}`" for flag in setting.flags)
    default = "" if setting.default in (None, "", [], {}) else f"`{setting.default}`"
    match setting.fate:
        case Taken(option):
            fate = f"`{option.flag}`"
        case Refused(instead):
            fate = f"*Refused*: {instead}."
        case SetAside(reason):
            fate = f"*Set aside*: {reason}."
        case Hook(when, arguments):
            fate = f"({', '.join(arguments)}) {when}"
        case ByApplication(effect):
            fate = f"*Taken*: {effect}."
        case AppName():
            fate = "`APP`"
    return (
        "| "
        + " | ".join(cell.replace("|", "\\|") for cell in (f"`{setting.name}`", flags, default, fate))
        + " |"
    )


CASES_HEAD = """\
<!-- Made from tests/cases.py by `make docs`; change that table instead. -->

# Cases

What people hit with application servers and process managers, and what Bigtop does there. Tests hold each
case. They bear its number, `@pytest.mark.case("E1")`, and `grep -rn 'case("E1"' tests` finds them.
"""


def case_page(tests: Mapping[str, list[str]]) -> str:
    """Return the page of cases, with the names of the tests of each as far as they are given."""
    known = cases()
    lines = [CASES_HEAD]
    for letter, room in known["ROOMS"].items():
        lines += [f"## {room}\n", "| | case | behaviour |", "| --- | --- | --- |"]
        for case in known["CASES"]:
            if case.number.startswith(letter):
                names = "".join(f"<br>`{name}`" for name in tests.get(case.number, ()))
                lines.append(f"| {case.number} | {case.kind} | {case.behaviour}{names} |")
        lines.append("")
    return "\n".join(lines)


def cases() -> dict[str, Any]:
    """Return what tests/cases.py defines."""
    return runpy.run_path(str(HERE.parent / "tests" / "cases.py"))


METRICS_HEAD = """\
<!-- Made from bigtop/stats/export/metrics.py by `make docs`; change that table instead. -->

# Metrics

The names of Bigtop's figures, as `bigtop.stats.export.exposition` writes them for Prometheus and in
OpenMetrics. Both formats, and Prometheus' protobuf, have the same series. The [admin
listener](../howto/admin.md) serves them.

No label grows with traffic or with time: there are no paths, no clients and no process ids. So the number of
series is known: that in the last column, for each value of the first label.

`http_route` is a pattern such as `/articles/<int:year>/`, as the framework of the application has it: Django,
Flask, Starlette or FastAPI, imported with the application. An application has 64 of them at most, in the
order in which they come; what would be more is `_OTHER`. Requests without a pattern, most of them answered
with 404, are not among them. Where an application is mounted is put before the pattern, if that is one of few
paths.

Counters only grow. What a worker counted stays when the worker is gone. What it did in the very turn of its
event loop in which it was killed may be missing.

| name | kind | labels | meaning | series |
| --- | --- | --- | --- | --: |
"""

METRICS_TAIL = """
Histograms have the bounds that OpenTelemetry advises, 5 ms to 10 s, and exact counts. They are made from
finer ones, of 9 % steps from 94 µs to 108 s. Prometheus' protobuf has these, too, as native histograms of
schema 3.

To count a request takes a worker some 10,000 instructions where Bigtop is compiled, with all that it keeps
of the request. It does so in memory of its own. Whoever reads does so there, and asks neither a worker nor
the supervisor.

For metrics of the application itself see [Prometheus in an application](../howto/prometheus.md).
"""

_NAME_ENDS = {MetricKind.COUNTER: "_total", MetricKind.INFO: "_info"}


def metrics_page() -> str:
    rows = [
        f"| `{metric.name}{_NAME_ENDS.get(metric.kind, '')}` | {metric.kind.value} "
        f"| {' '.join(f'`{label}`' for label in metric.labels)} | {metric.help} | {metric.series} |"
        for metric in METRICS
    ]
    return METRICS_HEAD + "\n".join(rows) + "\n" + METRICS_TAIL


PLUGINS_HEAD = """\
<!-- Made from bigtop/plugins/ by `make docs`; change the options there instead. -->

# Plugins that come with Bigtop

Each is used by a section `[plugin.NAME]` with `use`. Its options are keys of that section, beside
[those of every plugin](config.md#pluginname). [Write and use plugins](../howto/plugins.md) tells how to write
one.
"""

CIRCUS_PLUGINS = """\
## Circus' own

Under Circus' names, with Circus' options and a few more, whether Circus is installed or not. What Circus
does wrong is right here: [the list](circus.md#flapping-hooks-and-plugins). `active = no` has any of them wait
and do nothing. `circus.plugins.flapping.Flapping` is accepted and not run: its keys hold for all watchers.
"""


def plugins_page() -> str:
    parts = [PLUGINS_HEAD]
    parts += [_plugin(name if name != PROGRAM else "cmd", name, Plugin, 2) for name in sorted(BUILTINS)]
    parts += [CIRCUS_PLUGINS]
    parts += [
        _plugin(name, name, CircusPlugin, 3) for name in sorted(OF_CIRCUS) if not name.endswith(".Flapping")
    ]
    return "\n".join(parts).rstrip() + "\n"


def _plugin(title: str, use: str, base: type[Any], level: int) -> str:
    kind: Any = find(use)
    said = (kind.__doc__ or "").strip().replace("\n    ", "\n")
    options = options_of(kind, base)
    rows = []
    for name, takes, default, text in rows_of(options):
        shown = f"`{default}`" if default else "needed" * options[name].is_required
        kinds = takes.replace("|", "\\|")
        rows.append(f"| `{name}` | *{kinds}* | {shown} | {text} |")
    table = ["| option | | default | |", "| --- | --- | --- | --- |", *rows, ""]
    return "\n".join([f"{'#' * level} {title}\n", f"{said} Its role is `{kind.role}`.\n", *table])


MODULES_HEAD = """\
<!-- Made from the first lines of bigtop/**/*.py by `make docs`; change those instead. -->

# Modules

Every file of Bigtop, folder by folder, with the line it opens with. What a folder may import, and the paths
along which things happen, are in [Architecture](../explanation/architecture.md).
"""


def modules_page() -> str:
    package = HERE.parent / "bigtop"
    folders = sorted({path.parent for path in package.rglob("*.py")})
    return "\n".join([MODULES_HEAD, *(_folder(folder, package) for folder in folders)]).rstrip() + "\n"


def _folder(folder: Path, package: Path) -> str:
    name = folder.relative_to(package.parent).as_posix()
    files = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("__")]
    rows = [f"| `{path.stem}` | {_noun(path)} |" for path in files]
    return "\n".join([f"## {name}/\n", "| file | |", "| --- | --- |", *rows, ""]) if rows else ""


def _noun(path: Path) -> str:
    """Return the first line of a file's header, which says what the file is."""
    first = path.read_text().partition("\n")[0]
    return first.removeprefix("#").strip().replace("|", "\\|").replace("<", "&lt;")


def architecture_page() -> str:
    """Return the page of architecture with the files of each folder in the last column of its row."""
    package = HERE.parent / "bigtop"

    def with_files(row: re.Match[str]) -> str:
        folder = package if row["folder"] == "bigtop" else package / row["folder"]
        names = " ".join(f"`{path.stem}`" for path in sorted(folder.glob("*.py")) if path.stem[:2] != "__")
        return f"| `{row['folder']}/` | {row['holds']} | {names} |"

    page = (HERE / "explanation" / "architecture.md").read_text()
    return re.sub(
        r"^\| `(?P<folder>[\w/]+)/` \| (?P<holds>[^|]+) \| [^|]* \|$", with_files, page, flags=re.MULTILINE
    )


def write(folder: Path) -> None:
    (folder / "reference").mkdir(exist_ok=True)
    (folder / "explanation").mkdir(exist_ok=True)
    (folder / "explanation" / "architecture.md").write_text(architecture_page())
    for name, text in {
        "cases": case_page({}),
        "config": config_page(),
        "control": control_page(),
        "gunicorn": gunicorn_page(),
        "metrics": metrics_page(),
        "modules": modules_page(),
        "plugins": plugins_page(),
        "serve": serve_page(),
    }.items():
        (folder / "reference" / f"{name}.md").write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else HERE)
