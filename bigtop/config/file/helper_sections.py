# Sections [stats], [admin], [web] and [cluster] of a file: what Bigtop's own processes are asked for.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bigtop.cluster.spec import AgentSpec
from bigtop.config.file.daemon_spec import OwnWatchers
from bigtop.config.file.options import cluster_options as cl
from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import stats_options as st
from bigtop.config.file.text.document import Problems
from bigtop.config.file.text.key import Values
from bigtop.config.file.web import console
from bigtop.config.serve.specs import admin
from bigtop.config.serve.specs.admin import AdminSpec
from bigtop.emission import CIRCUS, Emission
from bigtop.errors import ConfigError
from bigtop.stats.pace import Pace
from bigtop.system.files import unixpaths, workdir
from bigtop.web.spec import WebSpec


def asked_for(circus: Values, plain: Mapping[str, Sequence[Values]], problems: Problems) -> dict[str, object]:
    """Return what Bigtop's own processes are asked for."""
    web = console(circus, plain["web"], problems)
    agent = _agent(plain["cluster"], problems)
    stats = _pace(circus, plain["stats"], problems) or _pace_of(web, agent, circus)
    admin_spec = _admin(plain["admin"], problems)
    return {"stats": stats, "admin": admin_spec, "own": OwnWatchers(web, agent)}


def _agent(sections: Sequence[Values], problems: Problems) -> AgentSpec | None:
    for values in sections:
        if folder := values[cl.NODE_FOLDER]:
            return AgentSpec(os.path.join(workdir.current(), folder), values[cl.NODE_ROLE])
        problems.error(values.place, f"[{values.title}] needs folder: where this node joined")
    return None


def _admin(sections: Sequence[Values], problems: Problems) -> AdminSpec | None:
    for values in sections:
        if not (bind := values[st.ADMIN_BIND]):
            problems.error(values.place, f"[{values.title}] needs bind, such as 127.0.0.1:9101")
            continue
        try:
            return admin.spec(
                bind,
                values[st.TOKEN_FILE],
                values[st.ALLOW],
                values[st.ADMIN_HOSTS],
                workdir.current(),
            )
        except ConfigError as error:
            problems.error(values.place_of(st.ADMIN_BIND), f"bind: {error}")
    return None


def _pace(circus: Values, sections: Sequence[Values], problems: Problems) -> Pace | None:
    """Return how often to look; None where nobody asks for figures."""
    is_off = circus.is_given(d.STATSD) and not circus[d.STATSD]
    for stats in sections if is_off else ():
        problems.warn(stats.place, f"[{stats.title}] does nothing: {circus.title} says statsd = no")
    if is_off or not (bool(sections) or circus[d.STATSD]):
        return None
    for stats in sections:
        return Pace(
            stats[st.INTERVAL],
            stats[st.DETAILS_INTERVAL],
            stats[st.HISTORY],
            _emission(stats, problems),
            stats[st.INTERVALS],
            stats[st.OTLP_ENDPOINT],
        )
    return Pace()


def _pace_of(web: WebSpec | None, agent: AgentSpec | None, circus: Values) -> Pace | None:
    """Return how often to look for a console, which shows the past, also that before somebody looked; and
    for the agent of a cluster, which says how well new code does."""
    if circus.is_given(d.STATSD) or (web is None and agent is None):
        return None
    return Pace(history=web is not None)


def _emission(values: Values, problems: Problems) -> Emission | None:
    """Return where figures are sent, if anybody asks for that."""
    address = values[st.STATSD_HOST]
    for key in (
        st.STATSD_DIALECT,
        st.STATSD_PREFIX,
        st.DOGSTATSD_TAGS,
        st.BACKLOG_METRIC,
    ):
        is_lost = address is None or (key is st.BACKLOG_METRIC and values[st.STATSD_DIALECT] == CIRCUS)
        if values.is_given(key) and is_lost:
            without = "statsd_host" if address is None else "the names of gunicorn (statsd_dialect)"
            problems.warn(values.place_of(key), f"{key.name} does nothing without {without}")
    if address is None:
        return None
    return Emission(
        unixpaths.absolute(address, workdir.current()) if isinstance(address, str) else address,
        values[st.STATSD_PREFIX],
        values[st.DOGSTATSD_TAGS],
        values[st.STATSD_DIALECT],
        values[st.BACKLOG_METRIC],
        has_names=True,
    )
