# A cluster on this machine, until Ctrl-C: a hub, a controller and three nodes with a small site each.
#
# All of it is one `bigtop run`, below which the nodes are further ones. Everything is in one folder, which is
# made anew at each start and removed at the end: python examples/cluster/demo.py

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bigtop.cluster import asking, hub, places
from bigtop.errors import BigtopError

HERE = Path(__file__).resolve().parent
NODES = ("one", "two", "three")
PATIENCE = 60  # seconds until everything is there

NODE = """\
[circus]
endpoint = "ipc://{folder}/{name}.ctl"
pubsub_endpoint = "ipc://{folder}/{name}.events"
[stats]
[cluster]
folder = "{folder}/{name}"
[app.site]
app = "hello:application"
chdir = "{folder}/{name}/apps/site/current"
bind = "127.0.0.1:{port}"
workers = 1
"""
WATCHER = """\
[watcher.{name}]
cmd = "{cmd}"
args = {args}
autostart = {autostart}
stop_signal = "INT"
graceful_timeout = 20
"""


def main():
    folder = places.base(os.environ) / "demo"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder.parent / "demo.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"a demonstration runs already in {folder}")
    shutil.rmtree(folder)
    try:
        server = hub.program(os.environ.get("NATS_SERVER"))
        port, *ports = free_ports(1 + len(NODES))
        authority = places.found("demo", (f"nats://127.0.0.1:{port}",), folder)
        conf = hub.written(hub.HubSpec(folder, port=port))
        file = written(folder, [server, "-c", str(conf)], ports)
        return run(authority, file, ports)
    except BigtopError as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def free_ports(count):
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in holders]
    for one in holders:
        one.close()
    return ports


def written(folder, server, ports):
    """Write the files of all supervisors; return that of the one above all others."""
    control = (
        f'[circus]\nendpoint = "ipc://{folder}/demo.ctl"\npubsub_endpoint = "ipc://{folder}/demo.events"\n'
    )
    python = [sys.executable, "-P", "-m"]
    parts = [control, watcher("hub", server)]
    parts.append(watcher("controller", [*python, "bigtop.cluster.controller", str(folder), "demo"]))
    for name, port in zip(NODES, ports, strict=True):
        file = folder / f"{name}.toml"
        file.write_text(NODE.format(folder=folder, name=name, port=port))
        link = folder / name / "apps/site/current"
        link.parent.mkdir(parents=True)
        link.symlink_to(HERE / "first")
        parts.append(watcher(name, [*python, "bigtop", "run", str(file)], starts=False))
    file = folder / "demo.toml"
    file.write_text("\n".join(parts))
    return file


def watcher(name, words, starts=True):
    cmd, *args = words
    return WATCHER.format(name=name, cmd=cmd, args=json.dumps(args), autostart=str(starts).lower())


def run(authority, file, ports):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with open(file.with_suffix(".log"), "wb") as log:
        command = [sys.executable, "-P", "-m", "bigtop", "run", str(file)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        begin(authority, process, ports)
        for line in told(file, ports):
            print(line, flush=True)
        return process.wait()
    except KeyboardInterrupt:
        print("\nstopping ...", flush=True)
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.terminate()
        process.wait()


def begin(authority, process, ports):
    """Have the nodes join and start; return when all of them answer."""
    ask(authority, process, lambda told: True)
    for name, port in zip(NODES, ports, strict=True):
        token, folder = authority.token(60), authority.folder / name
        asyncio.run(asking.join(token, "", name, ("web", f"port-{port}"), folder))
    command = [
        sys.executable,
        "-P",
        "-m",
        "bigtop",
        "ctl",
        "-e",
        f"ipc://{authority.folder}/demo.ctl",
        "start",
    ]
    for name in NODES:
        subprocess.run([*command, name], check=True, stdout=subprocess.DEVNULL)
    ask(authority, process, lambda told: told["count"]["alive"] == len(NODES))
    until = time.monotonic() + PATIENCE
    for port in ports:
        while not answers(port):
            if time.monotonic() > until:
                sys.exit(f"nobody answers on port {port}")
            time.sleep(0.1)


def ask(authority, process, is_well):
    until = time.monotonic() + PATIENCE
    while process.poll() is None:
        try:
            if is_well(asyncio.run(asking.ask(authority, "status", {}))):
                return
        except BigtopError as error:
            if time.monotonic() > until:
                sys.exit(str(error))
        time.sleep(0.2)
    sys.exit((authority.folder / "demo.log").read_text())


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def told(file, ports):
    program = Path(sys.executable).with_name("bigtop")
    bigtop = os.path.relpath(program) if program.exists() else "bigtop"
    yield f"A hub, a controller and three nodes run; their log is {file.with_suffix('.log')}."
    yield "Their sites: " + "  ".join(f"http://127.0.0.1:{port}" for port in ports)
    yield "Type in another terminal, here:"
    yield f"  {bigtop} cluster status"
    yield f"  {bigtop} cluster apply examples/cluster/broken.toml --wait   # fails, and no site notices"
    yield f"  {bigtop} cluster apply examples/cluster/good.toml --wait     # curl http://127.0.0.1:{ports[0]}"
    yield "Ctrl-C ends all of it."


if __name__ == "__main__":
    sys.exit(main())
