# Where the bench keeps what it made: peers in their own virtual environment, compiled programs.
#
# Rules:
# - Nothing is installed anywhere else, and the harness itself needs nothing but Python and a C compiler.
# - What cannot be installed or compiled is a reason to leave a peer out, and is said; it never ends the run.

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from bench.peers import Peer
from bench.scenarios import App

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
VENV = ROOT / ".bench-venv"
BUILD = ROOT / "build" / "bench"
INSTALLED = BUILD / "installed"
COMMITS = BUILD / "commits"

LOAD_SOURCE = "load/load.c"
TLS_FLAGS = ("-DTLS", "-lssl", "-lcrypto")
LONGEST_REASON = 160  # characters


class NotAvailableError(Exception):
    """Something needed is missing on this machine; the text says what and, where known, what to do."""


def python() -> Path:
    return VENV / "bin" / "python"


def words(command: str, values: Mapping[str, object]) -> list[str]:
    """Split first, then fill in: a path with spaces stays one word."""
    return [Template(word).substitute(values) for word in shlex.split(command)]


def environment(
    app: App | None, data: Path, extra: Iterable[tuple[str, str]] = (), bigtop: Path = ROOT
) -> dict[str, str]:
    """Return the whole environment of a server: nothing of the caller's shell changes what is measured.

    `bigtop` is the folder in which Bigtop is found.
    """
    folders = [bigtop, ROOT, *([ROOT / app.path] if app and app.path else [])]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    for name, value in (*(app.env if app else ()), *extra):
        env[name] = Template(value).substitute(data=data)
    return env


def bigtop_of(peer: Peer) -> Path:
    """Return where the Bigtop of a peer is."""
    if peer.commit:
        return COMMITS / peer.commit / "installed"
    return INSTALLED if peer.is_bigtop and not peer.source else ROOT


# ---- packages


def package_name(requirement: str) -> str:
    """Return the normalised name of what a requirement asks for: "uvicorn[standard]>=1" → "uvicorn"."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else requirement


def installed() -> dict[str, str]:
    if not python().exists():
        return {}
    code = "from importlib.metadata import distributions as d\nfor x in d(): print(x.name, x.version)"
    run = subprocess.run([python(), "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return {package_name(line.split()[0]): line.split()[1] for line in run.stdout.splitlines()}


def ensure_packages(
    requirements: Iterable[str], options: Iterable[str] = (), env: Iterable[tuple[str, str]] = ()
) -> None:
    have = installed()
    missing = [r for r in requirements if (not _is_current() if r == "." else package_name(r) not in have)]
    if not missing:
        return
    if not python().exists():
        _run([sys.executable, "-m", "venv", str(VENV)], f"cannot make {VENV.name}")
    arguments = [part for name in missing for part in (["--editable", str(ROOT)] if name == "." else [name])]
    pip = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *options, *arguments], f"pip cannot install {', '.join(missing)}", dict(env))


def _is_current() -> bool:
    """Say whether this repository is installed as setup.cfg has it now, its dependencies included."""
    written = [path.stat().st_mtime for path in VENV.glob("lib/*/site-packages/bigtop-*.dist-info")]
    return bool(written) and max(written) > (ROOT / "setup.cfg").stat().st_mtime


def ensure_installed() -> None:
    """Install this repository as users do, unless that was done since its source last changed."""
    target = INSTALLED
    sources = [ROOT / "setup.py", *(ROOT / "bigtop").rglob("*.py")]
    if target.exists() and target.stat().st_mtime >= max(path.stat().st_mtime for path in sources):
        return
    _install(ROOT, target)


def ensure_commit(commit: str) -> None:
    """Install this repository as it was at `commit`, unless that was done before."""
    folder = COMMITS / commit
    if (folder / "installed").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    archive = folder / "source.tar"
    git = ["git", "-C", str(ROOT), "archive", "--prefix=source/", f"--output={archive}", commit]
    _run(git, f"git has no commit {commit}")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    try:
        _install(folder / "source", folder / "installed")
    except NotAvailableError:
        shutil.rmtree(folder / "installed", ignore_errors=True)
        raise


def _install(source: Path, target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    shutil.rmtree(target, ignore_errors=True)
    _run([*pip, "--target", str(target), str(source)], "pip cannot install Bigtop")
    target.touch()
    if not list(target.glob("bigtop/http/engine.*.so")):
        raise NotAvailableError("Bigtop could not be compiled")


# ---- C programs


def ensure_load(*, tls: bool = False) -> Path:
    """Return the load generator; with TLS it needs OpenSSL's headers (Debian: libssl-dev)."""
    return ensure_program(LOAD_SOURCE, "load-tls" if tls else "", TLS_FLAGS if tls else ())


def ensure_program(source: str, name: str = "", flags: Sequence[str] = ()) -> Path:
    """Compile `source` unless its program is newer. Two processes may do so at once: the rename decides."""
    path = BENCH / source
    program = BUILD / (name or path.stem)
    if program.exists() and program.stat().st_mtime >= path.stat().st_mtime:
        return program
    BUILD.mkdir(parents=True, exist_ok=True)
    made = program.with_suffix(f".{os.getpid()}")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-O2", "-Wall", "-o", str(made), str(path), "-lm", *flags]
    _run(command, f"cannot compile {' '.join([source, *flags])}")
    made.replace(program)
    return program


def ensure_peer(peer: Peer) -> None:
    for program in peer.programs:
        if not any((Path(folder) / program).exists() for folder in os.get_exec_path()):
            raise NotAvailableError(f"{program} is not on PATH")
    for source in peer.sources:
        ensure_program(source)
    ensure_packages(peer.packages, peer.pip_options, peer.pip_env)
    if peer.commit:
        ensure_commit(peer.commit)
    elif peer.is_bigtop and not peer.source:
        ensure_installed()


# ---- certificates


def certificate(data: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for localhost, of the kind that most sites have, and of its key."""
    made, key = data / "certificate.pem", data / "key.pem"
    if not made.exists():
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", *kind, *name, "-keyout", str(key), "-out", str(made)]
        _run(command, "cannot make a certificate")
    return made, key


# ---- applications


def prepare_app(app: App, data: Path) -> None:
    ensure_packages(app.packages)
    for command in app.prepare:
        _run(
            words(command, {"python": python(), "data": data}),
            f"cannot prepare {app.name}",
            environment(app, data),
        )


def capture_response(app: App, path: str, data: Path) -> Path:
    """Let the application answer `path` once, without a server; return the file with the raw response."""
    target = data / f"{app.name}-{re.sub(r'[^A-Za-z0-9]', '_', path)}.response"
    if not target.exists():
        if app.wsgi is None:
            raise NotAvailableError(f"{app.name} has no answer that could be captured")
        command = [str(python()), "-m", "bench.apps.capture", app.wsgi, path]
        target.write_bytes(_run(command, f"cannot capture {path} of {app.name}", environment(app, data)))
    return target


def run_here(module: str, *arguments: str) -> None:
    """Run a module of the bench with the bench's own environment, where the packages are."""
    _run([str(python()), "-m", module, *arguments], f"{module} failed")


def _run(command: list[str], what: str, env: Mapping[str, str] | None = None) -> bytes:
    try:
        run = subprocess.run(command, capture_output=True, cwd=ROOT, env={**os.environ, **(env or {})})
    except FileNotFoundError as error:
        raise NotAvailableError(f"{what}: {error.filename} not found") from error
    if run.returncode:
        raise NotAvailableError(f"{what}: {reason((run.stderr or run.stdout).decode(errors='replace'))}")
    return run.stdout


def reason(said: str) -> str:
    """Return the line of a long complaint that says most: the last one about an error, or the last one."""
    lines = said.strip().splitlines() or ["nothing said"]
    return ([line for line in lines if "error" in line.lower()] or lines)[-1].strip()[:LONGEST_REASON]
