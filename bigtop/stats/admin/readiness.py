# Readiness: whether what runs can be sent requests, whether its start is over, and why not.
#
# Rules: pure. Where there are applications, they decide, and the commands beside them do not: a job that
# fails now and then takes no site off its balancer. Each application has to have a worker that is ready.

from __future__ import annotations

from collections.abc import Callable

from bigtop.stats.roster import Group, Roster

_UNKNOWN = "the supervisor has told nothing yet"


def obstacle(roster: Roster) -> str:
    """Return why no requests should be sent, in one line; "" if they should."""
    return _first(roster, _not_ready)


def start_obstacle(roster: Roster) -> str:
    """Return why the start is not over; "" for ever once everything was whole."""
    return _first(roster, _not_started)


def _first(roster: Roster, reason: Callable[[Group], str]) -> str:
    if not roster.own:
        return _UNKNOWN
    groups = [group for group in roster.groups if group.standing.is_app]
    # Without applications: whoever is meant to run now.
    groups = groups or [group for group in roster.groups if group.standing.status != "stopped"]
    if not groups:
        return "nothing runs"
    return next((f"{group.name}: {why}" for group in groups if (why := reason(group))), "")


def _not_ready(group: Group) -> str:
    standing = group.standing
    if standing.status in ("stopping", "stopped"):
        return standing.status
    if not standing.ready:
        return f"none of {standing.wanted} {'workers' if standing.is_app else 'processes'} is ready"
    return ""


def _not_started(group: Group) -> str:
    return "" if group.standing.has_started else f"not started yet ({group.standing.status})"
