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
    (HERE / "reference" / "serve.md").write_text(serve_page())
    (HERE / "reference" / "config.md").write_text(config_page())
