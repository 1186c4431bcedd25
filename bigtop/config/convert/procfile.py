# A Procfile, and the .env beside it, with the ports that honcho and foreman give.
#
# Rule: the n-th process has PORT = 5000 + 100 n, counted from 0, or from the PORT of .env. What starts a web
# server that Bigtop takes the place of becomes an application, all else a watcher.

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bigtop.config.convert import shell
from bigtop.config.convert.environment import is_read_alike
from bigtop.config.convert.invocation import invocation, site
from bigtop.config.convert.notes import no_equal
from bigtop.config.convert.pages import written
from bigtop.config.convert.site import SiteDraft
from bigtop.config.convert.watcher import WatcherDraft
from bigtop.config.file.options import watcher_options as w
from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.ini import text_of
from bigtop.errors import ConfigError

_LINE: Final = re.compile(r"([A-Za-z0-9_-]+):\s*(.+)")
_FIRST_PORT: Final = 5000
_STEP: Final = 100
_PORT: Final = re.compile(r"\$PORT\b|\$\{PORT\}")
_RELEASE: Final = "run it at each deploy: bigtop ctl start release"


def is_procfile(path: str, text: str) -> bool:
    """Tell by its name or its lines whether a file is a Procfile."""
    name = os.path.basename(path).lower()
    if name == "procfile" or name.startswith("procfile."):
        return True
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return bool(lines) and all(_LINE.fullmatch(line.rstrip()) for line in lines)


def convert(path: str, beside: str, problems: Problems) -> str:
    """Return the TOML, to be put into the folder `beside`; mistakes go to `problems`."""
    processes = _processes(path, problems)
    env_path = os.path.join(os.path.dirname(path), ".env")
    variables, notes = _variables(env_path)
    as_file = bool(variables) and is_read_alike(env_path, variables)
    base = variables.get("PORT", "")
    first = int(base) if re.fullmatch(r"[0-9]{1,5}", base) else _FIRST_PORT
    head = [f"Made from {os.path.basename(path)} by bigtop convert. What has no equal is a comment.", *notes]
    sites: list[SiteDraft] = []
    watchers: list[WatcherDraft] = []
    for number, (name, line) in enumerate(processes.items()):
        own = {"PORT": str(first + number * _STEP)}
        environ = own if as_file else {**variables, **own}
        found = _site(name, line, {**variables, **own}, f"{path}: {name}")
        if found is not None:
            made, started = found
            made.environ = environ
            made.env_file = env_path if as_file else ""
            sites.append(made)
        else:
            started = [_watcher(name, line)]
        for one in started:
            one.environ |= environ
            if as_file:
                one.table.keys[w.ENV_FILE.name] = os.path.relpath(env_path, beside)
        watchers += started
    return written(head, sites, watchers, beside=beside)


def _processes(path: str, problems: Problems) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text_of(path, problems, Place(path, 1)).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            problems.error(Place(path, number), f"must be NAME: COMMAND, got {line.strip()!r}")
        elif match[1] in found:
            problems.error(Place(path, number), f"{match[1]} is there twice")
        else:
            found[match[1]] = match[2]
    return found


def _site(
    name: str, line: str, variables: Mapping[str, str], place: str
) -> tuple[SiteDraft, list[WatcherDraft]] | None:
    """Return what a command starts as a site, None where it starts something else, or takes a shell."""
    words = shell.words(line, variables)
    found = invocation(words) if words else None
    if found is None:
        return None
    made, beside = site(found, name, place, variables)
    for variable in dict.fromkeys(shell.names(line)):
        if variable != "PORT":
            made.notes.append(f"${variable} was replaced: {line}")
    return made, beside


def _watcher(name: str, line: str) -> WatcherDraft:
    own_port = _PORT.sub("$(circus.env.PORT)", line)
    plain = "'" not in line and shell.words(line, {"PORT": "0"}) is not None
    made = WatcherDraft(name, own_port if plain else line)
    if name == "release":
        made.put(w.AUTOSTART, False, name)
        made.put(w.RESPAWN, "no", name)
        made.lacks("a command that a release begins with", _RELEASE)
    return made


# ---- .env


def _variables(path: str) -> tuple[dict[str, str], list[str]]:
    """Return what a .env says, as honcho and foreman read it, and notes on lines that say nothing."""
    try:
        lines = Path(path).read_text().splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    notes = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", line)
        if match is None:
            notes.append(no_equal(f"{path}:{number}", "a line that is not NAME=VALUE was ignored"))
            continue
        try:
            found[match[1]] = _value(match[2])
        except ValueError as error:
            notes.append(no_equal(f"{path}:{number}", f"{match[1]}: {str(error).lower()}"))
    return found, notes


def _value(text: str) -> str:
    r"""Return a value without its quotes and the comment behind it; in "..." \n is a line end."""
    if text.startswith('"'):
        text = text.replace("\\n", "\n")
    if text[:1] in ("'", '"'):
        return " ".join(shlex.split(text, comments=True)[:1])
    return re.sub(r"\s+#.*", "", text)
