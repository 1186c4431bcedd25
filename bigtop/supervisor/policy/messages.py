# The whole vocabulary between the machine, which decides, and the dispatcher, which performs.
#
# Events are what happened, actions are what to do about it, notices are what the world is told.
# A process is named by `key`, a number that is never used twice; `wid` is its place in the watcher (1, 2,
# ...) and is used again by its successor.

from __future__ import annotations

from bigtop.http.paths.time_limits import TimeoutAction
from bigtop.record import Record, field
from bigtop.supervisor.policy.certificate_notices import CertificateNotice
from bigtop.supervisor.policy.deploys.deploy import Step
from bigtop.supervisor.policy.deploys.recovering import Lost as Lost
from bigtop.supervisor.policy.deploys.recovering import NotRecovered as NotRecovered
from bigtop.supervisor.policy.deploys.recovering import Recovered as Recovered
from bigtop.supervisor.policy.deploys.recovering import Unchecked as Unchecked
from bigtop.supervisor.policy.deploys.reforking import NotReforked as NotReforked
from bigtop.supervisor.policy.deploys.reforking import Promote as Promote
from bigtop.supervisor.policy.deploys.reforking import Promoted as Promoted
from bigtop.supervisor.policy.deploys.reforking import Reforked as Reforked
from bigtop.supervisor.policy.deploys.reforking import Reforking as Reforking
from bigtop.supervisor.policy.deploys.reforking import Warmed as Warmed
from bigtop.supervisor.policy.ends import Ending as Ending
from bigtop.supervisor.policy.ends import ExitStatus as ExitStatus
from bigtop.supervisor.policy.ends import Urgency as Urgency
from bigtop.supervisor.policy.scaling import Scaled as Scaled
from bigtop.supervisor.policy.spec import WatcherSpec

# ---- events: what is wanted


class Start(Record):
    """Be running."""


class Stop(Record):
    """Be stopped; a later Stop can only be more urgent. A Start after it wins over it."""

    urgency: Urgency = Urgency.GRACEFUL


class Scale(Record):
    """Have `count` processes."""

    count: int


class Reload(Record):
    """Replace every process by one of a new generation, one by one.

    Each is ready before an old one goes; `sequential`: each old one is gone before the new one comes. A
    watcher with send_hup signals its processes instead, unless they are to be made differently (`remake`).
    """

    sequential: bool = False
    remake: bool = False


class Rollback(Record):
    """Go back to the generation before: that of before a reload that is under way, or one that was kept."""


class Restart(Record):
    """Stop, then start."""


class Update(Record):
    """Be described by `spec` from now on; processes that run stay until a Reload."""

    spec: WatcherSpec


class Leave(Record):
    """The process is to end and to be followed by another; None: as the stop policy says."""

    key: int
    grace: float | None = None
    signum: int | None = None


# ---- events: what happened


class GenerationReady(Record):
    """Processes of `generation` can be spawned from now on."""

    generation: int


class GenerationFailed(Record):
    """The code of `generation` cannot run: it cannot be imported, or its fork server died.

    `short`: there was no room for a fork server; it is tried again.
    """

    generation: int
    reason: str
    short: bool = False


class Spawned(Record):
    key: int
    pid: int


class SpawnFailed(Record):
    """There is no process (the exec failed, the fork server vanished).

    `short`: there was no room for one; it is tried again, and nobody died.
    """

    key: int
    reason: str
    short: bool = False


class Ready(Record):
    key: int


class BootFailed(Record):
    """The process says that it cannot start, for a reason that a retry will not cure; Exited follows."""

    key: int
    reason: str


class Retiring(Record):
    """A healthy process asks for a successor; it serves until its successor is ready."""

    key: int
    reason: str
    cause: Ending = field(default=Ending.MAX_REQUESTS, compare=False)


class Late(Record):
    """A process is stuck longer than it may; `due` None: that is only told; `alone`: it can do no more."""

    key: int
    reason: str
    alone: bool = False
    due: TimeoutAction | None = None


class Exited(Record):
    key: int
    status: ExitStatus


class Verified(Record):
    """The canary `key` has passed a step; `how` says with what."""

    key: int
    step: Step
    how: str = ""


class Rejected(Record):
    """The canary `key` has failed a step."""

    key: int
    step: Step
    reason: str


class Tick(Record):
    """Time passed; sent when Watcher.wake_at() has come."""


_Wish = Start | Stop | Scale | Reload | Rollback | Restart | Update | Leave
_Generation = GenerationReady | GenerationFailed | Verified | Rejected
_Process = Spawned | SpawnFailed | Ready | BootFailed | Retiring | Warmed | Promoted | Late | Exited
Event = _Wish | _Generation | _Process | Tick


# ---- actions


class Prepare(Record):
    """Make `generation` possible (start a fork server); answered by GenerationReady or GenerationFailed."""

    generation: int


class Discard(Record):
    """No process of `generation` will be spawned again."""

    generation: int


class Spawn(Record):
    """Answered by Spawned or SpawnFailed, then by Ready when it is. One that is `held` has no clients until
    it is admitted."""

    key: int
    wid: int
    generation: int
    held: bool = False


class Admit(Record):
    """Let clients come to a process that was held."""

    key: int


class Drain(Record):
    """Ask the process to end within `grace` seconds (0: at once), by `signum` if that is given."""

    key: int
    grace: float
    signum: int | None = None


class Signal(Record):
    """Send a signal that is no request to end."""

    key: int
    signum: int


class Kill(Record):
    """End the process and all that descends from it, with SIGKILL."""

    key: int
    reason: str = field(default="", compare=False)


# ---- actions that only tell: published as events and logged


class Report(Record):
    """Say in the log what the late process is doing, with its stacks, or that a step is taken (`due`)."""

    key: int
    reason: str
    due: TimeoutAction | None = None


class Verify(Record):
    """Try a canary with a step; answered by Verified or Rejected. Its end, or that of its generation, ends
    this, and so does another Verify."""

    key: int
    generation: int
    step: Step


class Short(Record):
    """Processes wait until there is room for them; no reason: all of them are there now."""

    reason: str = ""


class Started(Record):
    """The wanted number of processes is ready for the first time since Start."""


class Stopped(Record):
    """No process is left since Stop (or since every slot ended for good)."""


class Died(Record):
    """A process ended that should not have; `wait` seconds until its successor is started, None for never."""

    key: int
    wid: int
    status: ExitStatus
    was_ready: bool
    deaths: int
    wait: float | None
    reason: str = ""  # of a process that could not even be started
    killed: str = field(default="", compare=False)  # why, where that was done by us
    lived: float = field(default=0.0, compare=False)  # seconds
    is_stalled: bool = field(default=False, compare=False)  # its successor waits for a fork server, too


class Passed(Record):
    """The canary of `generation` has passed a step; `how` says with what."""

    generation: int
    step: Step
    how: str


class Reloaded(Record):
    """Every process is of `generation`, and ready."""

    generation: int


class ReloadFailed(Record):
    """`generation` was given up; the processes of generation `kept` go on."""

    generation: int
    kept: int
    reason: str


class Finished(Record):
    """Every process ended for good, as it was meant to; Stopped follows."""


class GaveUp(Record):
    """The watcher cannot run: its first generation failed, or every slot used up its retries.

    Stopped follows when the last process is gone.
    """

    reason: str


# ---- notices that the machine does not know of


class Born(Record):
    """There is a process, and it executes what it was made for."""

    key: int
    wid: int
    pid: int


class NotSpawned(Record):
    """There is no process, and why."""

    wid: int
    reason: str


class Signalled(Record):
    """A signal was sent so that a process ends."""

    key: int
    pid: int
    signum: int


class Reaped(Record):
    """A process ended, for whatever reason, and so did all that it had started."""

    key: int
    wid: int
    pid: int
    status: ExitStatus
    killed: str = ""  # why, where that was done by us
    ending: Ending = field(default=Ending.EXIT, compare=False)


class Left(Record):
    """These could not be ended after the process `key`: they hang inside the kernel, or are not ours."""

    key: int
    pids: tuple[int, ...]


class Degraded(Record):
    """Something that was asked for as "if possible" is not possible."""

    reason: str


class Added(Record):
    """The watcher is known from now on."""


class Removed(Record):
    """The watcher is not known any more."""


class Updated(Record):
    """The watcher is described anew, in `fields` of its spec; `reason`: why a change is taken back."""

    fields: tuple[str, ...]
    reason: str = ""


class HookRan(Record):
    """`error` is empty if all went well; `refusal` says why what it was asked about does not happen."""

    hook: str
    error: str = ""
    refusal: str = ""


_OfTheMachine = (
    Report | Verify | Short | Started | Stopped | Died | Passed | Reloaded | ReloadFailed | Finished | GaveUp
)
_OfTheWorld = (
    Born | NotSpawned | Signalled | Reaped | Left | Degraded | Added | Removed | Updated | HookRan | Scaled
)
_OfRefork = Reforking | Reforked | NotReforked
_OfRecovery = Lost | Recovered | NotRecovered | Unchecked
Notice = _OfTheMachine | _OfRefork | _OfRecovery | _OfTheWorld | CertificateNotice
_Performed = Prepare | Discard | Spawn | Admit | Promote | Drain | Kill | Signal
Action = _Performed | _OfTheMachine | _OfRefork | _OfRecovery
