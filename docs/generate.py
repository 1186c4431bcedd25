# Writes the pages of docs/reference/ that the code knows better: python docs/generate.py
#
# Rule: what is written depends on the code alone, so that tests/test_project.py can tell a stale page.

from __future__ import annotations

from pathlib import Path

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


if __name__ == "__main__":
    (HERE / "reference" / "serve.md").write_text(serve_page())
