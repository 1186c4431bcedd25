# Trampoline of an upgrade: what the interpreter of the new version runs first, written by the old version.
#
# Rule: it is text, in the memory of the old version from its start on, so neither a broken new version nor
# one that was installed in its place can change it. It imports nothing of Bigtop before there is a way back.
#
# The way back stands behind SIGALRM: time that runs out takes it, and so does whoever fails before the
# upgrade is over (takeover.py). It restores the descriptors, which whatever failed may have closed.

from __future__ import annotations

from typing import Final

SOURCE: Final = """
import json, os, signal, sys

FD, BACK, REASON = int(sys.argv[1]), sys.argv[2] == "back", sys.argv[3]
ORDER = json.loads(os.pread(FD, os.fstat(FD).st_size, 0))["order"]
TO = ORDER["back" if BACK else "to"]


class WayBack:
    def __init__(self):
        self.spares = {fd: os.dup(fd) for fd in (FD, *ORDER["fds"])}

    def __call__(self, _number=0, _frame=None, reason="it did not take over in time"):
        signal.alarm(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, ORDER["blocked"])
        where = "" if not BACK else ", and that was the way back: everything ends"
        os.write(2, f"bigtop: upgrade: {reason}{where}\\n".encode("utf-8", "replace"))
        if BACK:
            os._exit(70)
        for fd, spare in self.spares.items():
            os.dup2(spare, fd, inheritable=True)
        to = ORDER["back"]
        try:
            os.chdir(ORDER["folder"])
            text = sys.orig_argv[sys.orig_argv.index("-c") + 1]
            words = [to["python"], *to["flags"], "-c", text, str(FD), "back", reason[:4000]]
            os.execve(to["python"], words, to["environ"])
        except BaseException as error:
            os.write(2, f"bigtop: upgrade: there is no way back: {error}\\n".encode("utf-8", "replace"))
            os._exit(70)

    def close(self):
        for spare in self.spares.values():
            os.close(spare)


way = WayBack()
signal.signal(signal.SIGALRM, way)
signal.alarm(ORDER["limit"])
try:
    os.environ["BIGTOP_UPGRADE"] = f"back:{FD}:{REASON}" if BACK else f"over:{FD}:"
    sys.path[:] = TO["path"]
    sys.argv[:] = TO["argv"]
    from bigtop.__main__ import main
    main()
except BaseException as error:
    if signal.getsignal(signal.SIGALRM) is way:
        try:
            import traceback
            told = traceback.format_exc()
        except BaseException:
            told = ""
        os.write(2, told.encode("utf-8", "replace"))
        if isinstance(error, SystemExit):
            way(reason=f"it ended with {error.code} before it had taken over")
        way(reason=f"{type(error).__name__}: {error}")
    raise
"""
