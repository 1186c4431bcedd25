# Expansion of a configuration by the environment.
#
# That is $(circus.env.NAME), env sections, $NAME in their values, env_file, copy_env, copy_path, virtualenv.
#
# Rule 1: a watcher's environment is complete before any of its keys is read, so that even numbers may come
# from it. Rule 2: $NAME is replaced in what a file says, never in what was copied from our own environment.
# Rule 3: in TOML, $$ is a dollar sign. In INI it is what it is to Circus: two of them.

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from bigtop.config.file.text.document import Document, Entry

_VARIABLE = re.compile(r"\$\(circus\.([\w.\-]+)\)|\(\(circus\.([\w.\-]+)\)\)", re.IGNORECASE)
_SHELL_NAME = re.compile(r"\$([A-Z]+[A-Z0-9_]*)")
_SHELL_NAME_OR_DOLLAR = re.compile(rf"\$\$|{_SHELL_NAME.pattern}")
_PLAIN_DOLLAR = re.compile(r"\$(?!\((?i:circus)\.)")
_SHELL_NAME_OR_PLAIN = re.compile(rf"{_SHELL_NAME.pattern}|{_PLAIN_DOLLAR.pattern}")
_FILE_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace $(circus.env.NAME) and ((circus.env.NAME)), in any case; unknown ones stay as they are.

    All others, such as $(circus.wid), wait for the moment when a process is spawned.
    """
    if "circus." not in text.lower():
        return text
    values = {f"env.{name.lower()}": value for name, value in env.items()}
    return _VARIABLE.sub(lambda match: values.get((match[1] or match[2]).lower(), match[0]), text)


def with_dollars(text: str) -> str:
    """Return what an env section of TOML says for `text`; only $(circus.…) keeps its meaning."""
    return _PLAIN_DOLLAR.sub("$$", text)


def as_in_toml(text: str) -> str:
    """Return what an env section of TOML says for what one of INI says."""
    return _SHELL_NAME_OR_PLAIN.sub(lambda match: match[0] if match[1] else "$$", text)


def variables(text: str) -> set[str]:
    """Return what $(circus.…) still asks for: {"wid", "sockets.web"}."""
    return {(first or second).lower() for first, second in _VARIABLE.findall(text)}


def expanded(entries: Mapping[str, Entry], env: Mapping[str, str]) -> dict[str, Entry]:
    return {
        name: Entry(
            tuple(expand(text, env) for text in entry.texts), entry.place, entry.is_list, entry.is_number
        )
        for name, entry in entries.items()
    }


class Environments:
    """The env sections of a document, and what becomes of them for each watcher."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        self._document = document
        self.shared = self._values(document.only("env").entries, self.environ)
        self.everywhere = self.environ | self.shared

    def of_sections(self, name: str) -> dict[str, str]:
        """Return what [env] and all [env:…] that match a watcher say; later sections win."""
        env = dict(self.shared)
        for section in self._document.of_kind("env"):
            if section.name and any(fnmatch(name, part.strip()) for part in section.name.split(",")):
                env |= self._values(section.entries, self.environ | env)
        return env

    def _values(self, entries: Mapping[str, Entry], env: Mapping[str, str]) -> dict[str, str]:
        return {
            name.strip(): expand(self._with_ours(entry.text), env).strip() for name, entry in entries.items()
        }

    def _with_ours(self, text: str) -> str:
        names = _SHELL_NAME_OR_DOLLAR if self._document.strict else _SHELL_NAME
        return names.sub(lambda match: "$" if match[0] == "$$" else self.environ.get(match[1], ""), text)


def read_env_file(path: str) -> dict[str, str]:
    """Return the variables of a file of NAME=VALUE lines, as systemd and docker have them.

    Values may be quoted as in a shell; nothing is expanded. Raises ValueError that names the line.
    """
    found: dict[str, str] = {}
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        match = _FILE_LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{path}:{number}: must be NAME=VALUE, got {line.strip()!r}")
        try:
            words = shlex.split(match[2]) if match[2][:1] in ("'", '"') else [match[2]]
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {str(error).lower()} in {line.strip()!r}") from error
        found[match[1]] = " ".join(words)
    return found


def import_path() -> str:
    """Return our own sys.path, for copy_path."""
    return os.pathsep.join(entry for entry in sys.path if entry)


def enter_virtualenv(env: dict[str, str], root: str, version: str) -> None:
    """Put a virtual environment in front of PATH and into PYTHONPATH; ValueError if it is none."""
    version = version or f"{sys.version_info[0]}.{sys.version_info[1]}"
    tried = [os.path.join(root, "lib", kind + version, "site-packages") for kind in ("python", "pypy")]
    packages = next(filter(os.path.isdir, tried), None)
    if packages is None:
        raise ValueError(f"must be a virtual environment of Python {version}: there is no {tried[0]}")
    env["PATH"] = os.pathsep.join(filter(None, [os.path.join(root, "bin"), env.get("PATH", "")]))
    paths = [*_linked(packages), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), packages]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def _linked(packages: str) -> list[str]:
    """Return the existing directories that the .pth files of a site-packages directory name."""
    texts = []
    for file in sorted(Path(packages).glob("*.pth")):
        with suppress(OSError):  # pip removes it meanwhile, or it leads nowhere: Python passes it over, too
            texts.append(file.read_text(errors="replace"))
    lines = [
        line.rstrip()
        for text in texts
        for line in text.splitlines()
        if line.strip() and not line.startswith(("#", "import"))
    ]
    paths = [os.path.abspath(os.path.join(packages, line)) for line in lines]
    return [path for path in paths if os.path.exists(path)]
