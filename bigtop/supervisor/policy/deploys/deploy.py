# Deploy policy: what new code has to show before it is trusted, and how it takes the place of the old.
#
# Rules: pure. What a new generation has to do are steps, one after the other, with a canary: a process of it
# that stands beside the old ones. In the first two it has no clients but us. Who fails a step goes, and the
# old generation goes on; watcher.py decides that, supervisor/verification.py performs the steps.

from __future__ import annotations

from enum import Enum

from bigtop.errors import ConfigError
from bigtop.record import Record, field
from bigtop.supervisor.policy.deploys.comparison import Thresholds

# In place of a method: a check that somebody accepts connections at HOST:PORT.
TCP = "TCP"


class Step(Enum):
    """What a canary is tried with, in this order."""

    HEALTH = "health check"  # requests of ours
    COMMAND = "check command"
    TRAFFIC = "canary time"  # clients, beside the old processes


class HealthCheck(Record):
    """A request, and what makes its answer a good one.

    `statuses` are ranges, both ends included; `limit` is seconds until the answer is complete. An application
    is asked for a path, or for an http or https URL, which says Host and scheme as well.
    """

    text: str  # as somebody wrote it
    method: str
    target: str
    statuses: tuple[tuple[int, int], ...]
    limit: float

    def accepts(self, status: int) -> bool:
        return any(first <= status <= last for first, last in self.statuses)


class DeployPolicy(Record):
    """Without anything, a canary that is ready is all that is asked for. Times are seconds."""

    health: tuple[HealthCheck, ...] = ()
    scheme: str = "http"  # of health checks that name a path alone
    headers: tuple[tuple[str, str], ...] = field(default=())  # of the requests of health checks
    command: str = ""  # for a shell; it ends with 0 if all is well
    command_timeout: float = 60.0
    canary_time: float = 0.0
    thresholds: Thresholds = field(default_factory=Thresholds)
    warm_up: tuple[HealthCheck, ...] = ()  # asked of each process before it is ready; any answer will do
    max_surge: int = 1  # so many processes more than the count while a reload replaces them
    max_unavailable: int = 0  # so many fewer may serve meanwhile
    keep_generations: int = 0  # that were replaced, to go back to

    def __post_init__(self) -> None:
        if self.max_surge + self.max_unavailable < 1:
            raise ConfigError("max_surge and max_unavailable are both 0: no process could be replaced")

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return what a canary is tried with."""
        wanted = {Step.HEALTH: self.health, Step.COMMAND: self.command, Step.TRAFFIC: self.canary_time}
        return tuple(step for step in Step if wanted[step])

    @property
    def holds(self) -> bool:
        """Whether a canary is to have no clients at first."""
        return bool(self.steps)
