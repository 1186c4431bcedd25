# A tunnel: ssh(1) as our child, which passes a unix socket here on to an endpoint there.
#
# Rules: the socket is in a folder that only this user may enter; ssh asks its questions (a password, a host
# key) on the terminal by itself; it ends with the ZeroMQ socket that goes through it, or with us.

from __future__ import annotations

import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import zmq

from bigtop.control.addresses import UnreachableError
from bigtop.errors import ConfigError
from bigtop.record import Record

if TYPE_CHECKING:
    import subprocess

_TO_CONNECT = 10  # seconds; questions on the terminal may take longer
_LOOK = 0.02

S = TypeVar("S", bound=zmq.Socket[Any])


class Tunnel(Record):
    """Through ssh: `server` is user@host:port."""

    server: str
    keyfile: str | None = None


def connect(socket: S, endpoint: str, tunnel: Tunnel) -> None:
    """Connect to `endpoint` as it is seen from the server; blocks until there is a tunnel.

    Raises UnreachableError with ssh's last words, ConfigError where there is no ssh.
    """
    import shutil  # these here: few go through a tunnel
    import subprocess
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="bigtop-ssh-"))
    here = folder / "s"
    with open(folder / "said", "wb") as said:
        try:
            process = subprocess.Popen(
                _command(here, endpoint, tunnel), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ConfigError(f"--ssh needs ssh: {error.strerror}") from None
    weakref.finalize(socket, _end, process, folder)
    while not here.exists():
        if process.poll() is not None:
            words = (folder / "said").read_text(errors="replace").strip().splitlines()
            raise UnreachableError(f"ssh {tunnel.server}: {words[-1] if words else 'it ended'}")
        time.sleep(_LOOK)
    socket.connect(f"ipc://{here}")


def _command(here: Path, endpoint: str, tunnel: Tunnel) -> list[str]:
    scheme, _, place = endpoint.partition("://")
    if scheme not in ("tcp", "ipc"):
        raise ConfigError(f"{endpoint}: a tunnel leads to an endpoint that begins with tcp:// or ipc://")
    server, colon, port = tunnel.server.rpartition(":")
    if not (colon and port.isdigit()):
        server, port = tunnel.server, ""
    options = ["-o", "ExitOnForwardFailure=yes", "-o", f"ConnectTimeout={_TO_CONNECT}", "-S", "none", "-N"]
    options += ["-L", f"{here}:{place}"]
    options += ["-i", tunnel.keyfile] if tunnel.keyfile else []
    options += ["-p", port] if port else []
    return ["ssh", *options, "--", server]


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    import shutil

    process.terminate()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
