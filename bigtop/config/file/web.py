# Web console of a file: [web], or httpd as Circus has it, as one WebSpec.
#
# Rule: what [web] asks for has to be had. What httpd of an old file asks for, and nobody should have, is
# told, and everything else runs: that file was written for a console that let everybody in.

from __future__ import annotations

from collections.abc import Sequence

from bigtop.config.file.options import daemon_options as d
from bigtop.config.file.options import web_options as w
from bigtop.config.file.text.document import Problems
from bigtop.config.file.text.key import Values
from bigtop.errors import ConfigError
from bigtop.system.files import workdir
from bigtop.web.spec import WebSpec


def console(circus: Values, sections: Sequence[Values], problems: Problems) -> WebSpec | None:
    """Return the console that a file asks for."""
    if circus[d.HTTPD] and not sections:
        return _of_circus(circus, problems)
    why = f"beside [web]: {w.WEB_BIND.name} there counts" if sections else "without httpd = yes"
    for key in (d.HTTPD_HOST, d.HTTPD_PORT):
        if circus.is_given(key):
            problems.warn(circus.place_of(key), f"{key.name} does nothing {why}")
    return _of_section(sections[0], problems) if sections else None


def _of_section(values: Values, problems: Problems) -> WebSpec | None:
    spec = WebSpec(
        bind=values[w.WEB_BIND],
        targets=values[w.ENDPOINTS],
        keys=values[w.KEYS] or "",
        state=values[w.STATE] or "",
        hosts=values[w.WEB_HOSTS],
        proxies=values[w.PROXIES],
        certfile=values[w.WEB_CERTFILE] or "",
        keyfile=values[w.WEB_KEYFILE] or "",
        cluster=values[w.CLUSTER] or "",
    )
    try:
        return spec.based_on(workdir.current())
    except ConfigError as error:
        problems.error(values.place_of(w.WEB_BIND), f"bind: {str(error).removeprefix('bind: ')}")
        return None


def _of_circus(circus: Values, problems: Problems) -> WebSpec | None:
    host = circus[d.HTTPD_HOST]
    spec = WebSpec(
        bind=f"[{host}]:{circus[d.HTTPD_PORT]}" if ":" in host else f"{host}:{circus[d.HTTPD_PORT]}"
    )
    try:
        is_open = spec.is_open
    except ConfigError as error:
        problems.error(circus.place_of(d.HTTPD_HOST), f"httpd_host: {error}")
        return None
    if is_open:
        problems.warn(
            circus.place_of(d.HTTPD_HOST),
            f"httpd: there is no web console, as others than this machine reach {spec.bind}; a section [web] "
            "with certfile and a user lets them in",
        )
        return None
    return spec
