# Who says in a command's place that it is ready: nobody is believed who is another user.

from __future__ import annotations

import os
import re
import socket

import pytest

from tests.support.nobody import as_nobody
from tests.support.site import until
from tests.support.stack import Stack

# Says where it tells, and is let go by a file. Then a child that has dropped its rights tells it, as a server
# may that binds its port first.
TELLS = """
import os, socket, sys, time

folder, address = sys.argv[1], os.environ["NOTIFY_SOCKET"]
with open(folder + "/part", "w") as file:
    file.write(address)
os.rename(folder + "/part", folder + "/address")
while not os.path.exists(folder + "/go"):
    time.sleep(0.01)
if os.fork() == 0:
    os.setuid(65534)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.sendto(b"READY=1", chr(0) + address[1:])
time.sleep(1000)
"""


def tell(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.sendto(b"READY=1", "\0" + address[1:])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands and is somebody else")
def test_only_a_process_of_ones_own_says_that_one_is_ready() -> None:
    stack = Stack('[watcher.a]\ncmd = "{python} {folder}/tells.py {folder}"\nready = "notify"\n')
    (stack.folder / "tells.py").write_text(TELLS)
    with stack:
        until((stack.folder / "address").exists, "the address")
        address = (stack.folder / "address").read_text()
        assert re.fullmatch(r"@bigtop/\d+/[0-9a-f]{32}", address), "others could bind it first"
        assert as_nobody(tell, address)
        for _ in range(2):  # the second question is read after what nobody sent
            assert stack.status("a") == "starting"
        (stack.folder / "go").touch()
        stack.wait_for("a: started")
