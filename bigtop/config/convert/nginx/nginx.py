# An nginx.conf in front of a Django site as the file that takes its place, and that of the server behind it.
#
# Rule 1: nginx does not know the application. Its name is left open, and a comment says so.
# Rule 2: what Bigtop does anyway is said to be not needed; what it does not do is "no equal", with its line.
# Rule 3: the server of port 80 that redirects to https becomes two options of the one that is redirected to.

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Final

from bigtop.config.convert.nginx import nginx_gates
from bigtop.config.convert.nginx.nginx_file import Directive, is_nginx, parsed
from bigtop.config.convert.nginx.nginx_locations import Locations
from bigtop.config.convert.nginx.nginx_words import NOT_NEEDED, seconds
from bigtop.config.convert.pages import written
from bigtop.config.convert.site import SiteDraft
from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.ini import text_of
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.errors import ConfigError

APP: Final = "project.wsgi"
_OPEN: Final = f'nginx does not know the application: put its name in the place of "{APP}".'
_HSTS: Final = "strict-transport-security"
_CONTEXTS: Final = ("", "http", "events", "stream", "mail")


def is_it(path: str, text: str) -> bool:
    """Whether a file is one of nginx."""
    return not path.endswith((".py", ".json", ".toml", ".ini")) and is_nginx(text)


def convert(path: str, beside: str, problems: Problems) -> str:
    """Return the TOML of an nginx.conf, or of a file in sites-available. ConfigError: it has no server."""
    text = text_of(path, problems, Place(path, 1))
    problems.raise_any()
    return written(
        [f"Made from {os.path.basename(path)} by bigtop convert. What has no equal is a comment.", _OPEN],
        list(sites(parsed(text, path), path)),
        beside=beside,
    )


def sites(whole: Directive, path: str) -> Iterator[SiteDraft]:
    """Yield a site for each server that does not just redirect to another one."""
    contexts = [whole, *whole.all("http")]
    servers = [server for context in contexts for server in context.all("server")]
    if not servers:
        raise ConfigError(f"{path}: has no server {{ }}; give the file that has it, as in sites-available")
    general = [
        one for context in contexts for one in context.block or () if one.name not in ("server", "http")
    ]
    redirects = [server for server in servers if _redirected(server)]
    others = [server for server in servers if server not in redirects] or servers
    for server in others:
        site = _Server(server, general).made()
        for redirect in redirects:
            if redirect is not server:
                _take_redirect(site, redirect, server)
        yield site


class _Server:
    """One server, with what stands outside of it."""

    def __init__(self, server: Directive, general: list[Directive]) -> None:
        self._server = server
        self._general = general
        self._encrypts = any("ssl" in one.args for one in server.all("listen"))
        self.site = SiteDraft(_name(server))
        self.site.app = APP
        upstreams = {one.args[0]: one for one in general if one.name == "upstream" and one.args}
        self._locations = Locations(self.site, server, upstreams)

    def made(self) -> SiteDraft:
        """Return the site."""
        self._listen()
        self._certificate()
        for directive in (*self._general, *(self._server.block or ())):
            self._take(directive)
        nginx_gates.take(self.site, self._server, self._general)
        self._locations.take()
        return self.site

    def _listen(self) -> None:
        for one in self._server.all("listen"):
            address = _address(one.args[0]) if one.args else ""
            is_plain = self._encrypts and "ssl" not in one.args
            self.site.put(o.HTTP_BIND if is_plain else o.BIND, [address], _said(one))
        if not self._server.first("listen"):
            self.site.put(o.BIND, ["0.0.0.0:80"], "no listen, which is port 80")

    def _certificate(self) -> None:
        keys = list(self._server.all("ssl_certificate_key"))
        for number, one in enumerate(self._server.all("ssl_certificate")):
            key = keys[number].args[0] if number < len(keys) else ""
            self.site.put(o.TLS, [f"files:{one.args[0]}" + (f",{key}" if key else "")], _said(one))

    def _take(self, directive: Directive) -> None:
        name = directive.name
        if name in (
            "listen",
            "ssl_certificate",
            "ssl_certificate_key",
            "location",
            "upstream",
            "server_name",
        ):
            return
        if name == "add_header" and directive.args[:1] and directive.args[0].lower() == _HSTS:
            _hsts(self.site, directive)
        elif name in _TAKEN and directive.args:
            _TAKEN[name](self.site, directive)
        elif (name == "if" and _is_to_https(directive)) or (
            name in ("return", "rewrite") and _is_https_target(directive)
        ):
            _redirect_to(self.site, self._server, directive)
        elif name in ("root", "try_files", "index"):
            self._locations.take_outer(directive)
        elif name in nginx_gates.NAMES or name == "limit_req_zone":
            pass  # read by itself
        elif name in NOT_NEEDED or name == "map":
            reason = NOT_NEEDED.get(name, "WebSockets need no map")
            self.site.needs_not(_said(directive), reason)
        else:
            self.site.lacks(_said(directive))


# ---- what becomes of directives that are about the whole server


def _time(option: Option[object]) -> Callable[[SiteDraft, Directive], None]:
    def take(site: SiteDraft, one: Directive) -> None:
        found = seconds(one.args[0])
        if found is None:
            site.lacks(_said(one), "it is no time")
        else:
            site.put(option, f"{found:g}", _said(one))

    return take


def _protocols(site: SiteDraft, one: Directive) -> None:
    oldest = min(one.args)
    if oldest not in ("TLSv1.2", "TLSv1.3"):
        site.lacks(_said(one), "the oldest version of TLS is 1.2")
        return
    site.put(o.TLS_MIN, oldest.removeprefix("TLSv"), _said(one))


def _access_log(site: SiteDraft, one: Directive) -> None:
    if one.args[0] == "off":
        site.needs_not(_said(one), "there is no access log unless it is asked for")
        return
    site.put(o.ACCESS_LOGFILE, one.args[0], _said(one))
    if len(one.args) > 1 and one.args[1] not in ("combined",):
        site.lacks(_said(one), "access_logformat takes the atoms of gunicorn's formats")


def _error_log(site: SiteDraft, one: Directive) -> None:
    site.put(o.ERROR_LOGFILE, "-" if one.args[0] == "stderr" else one.args[0], _said(one))


def _hsts(site: SiteDraft, one: Directive) -> None:
    value = (one.args[1] if len(one.args) > 1 else "").lower()
    if not (age := re.search(r"max-age=\"?([0-9]+)", value)):
        site.lacks(_said(one), "hsts needs a max-age")
        return
    words = [f"{age[1]}s"]
    words += ["subdomains"] if "includesubdomains" in value else []
    words += ["preload"] if "preload" in value else []
    site.put(o.HSTS, ",".join(words), _said(one))


def _connections(site: SiteDraft, one: Directive) -> None:
    site.put(o.LIMIT_ADDRESS_CONNECTIONS, one.args[-1], _said(one))


def _believed(site: SiteDraft, one: Directive) -> None:
    if site.has(o.FORWARDED_ALLOW_IPS):
        site.lacks(_said(one), "add it to forwarded_allow_ips")
    else:
        site.put(o.FORWARDED_ALLOW_IPS, one.args[0], _said(one))


_TAKEN: Final[dict[str, Callable[[SiteDraft, Directive], None]]] = {
    "keepalive_timeout": _time(o.KEEP_ALIVE),
    "client_header_timeout": _time(o.HEADER_TIMEOUT),
    "client_body_timeout": _time(o.BODY_TIMEOUT),
    "send_timeout": _time(o.SEND_TIMEOUT),
    "proxy_read_timeout": _time(o.TIMEOUT),
    "ssl_protocols": _protocols,
    "access_log": _access_log,
    "error_log": _error_log,
    "limit_conn": _connections,
    "set_real_ip_from": _believed,
}


# ---- http to https


def _redirected(server: Directive) -> bool:
    """Whether a server does nothing but send clients to https."""
    what = [one for one in server.block or () if one.name in ("return", "rewrite", "if")]
    places = [one for one in server.all("location") if not _is_challenge(one)]
    if any("ssl" in one.args for one in server.all("listen")):
        return False
    if any(one.first("proxy_pass") or one.first("alias") or one.first("root") for one in places):
        return False
    inside = [other for one in places for other in one.block or () if other.name in ("return", "rewrite")]
    return any(_is_https_target(one) or _is_to_https(one) for one in (*what, *inside))


def _is_challenge(location: Directive) -> bool:
    return bool(location.args) and "acme-challenge" in location.args[-1]


def _is_https_target(one: Directive) -> bool:
    return any(word.startswith("https://") for word in one.args)


def _is_to_https(one: Directive) -> bool:
    return one.name == "if" and any(_is_https_target(other) for other in one.block or ())


def _take_redirect(site: SiteDraft, redirect: Directive, server: Directive) -> None:
    """Let `site` redirect by itself, where `redirect` sends to it."""
    names, own = _names(redirect) or _names(server), _names(server)
    encrypts = any("ssl" in one.args for one in server.all("listen"))
    if not encrypts or not names or (own and not set(names) & set(own)):
        return
    site.put(o.HTTPS_REDIRECT, ",".join(names), f"line {redirect.line}: the server that redirects to https")
    for one in redirect.all("listen"):
        site.put(o.HTTP_BIND, [_address(one.args[0])], _said(one))


def _redirect_to(site: SiteDraft, server: Directive, said: Directive) -> None:
    if names := _names(server):
        site.put(o.HTTPS_REDIRECT, ",".join(names), _said(said))
    else:
        site.lacks(_said(said), "https_redirect needs the names of hosts")


def _names(server: Directive) -> list[str]:
    names = [name for one in server.all("server_name") for name in one.args]
    return [name for name in names if re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)+", name)]


def _name(server: Directive) -> str:
    return re.sub(r"\W+", "_", (_names(server) or [""])[0].removeprefix("www.")).strip("_")


def _address(text: str) -> str:
    if text.isdigit():
        return f"0.0.0.0:{text}"
    if text.startswith("unix:"):
        return text
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return f"{text}:80"
    return f"{'0.0.0.0' if host == '*' else host}:{port}"  # noqa: S104 - written, not bound


def _said(one: Directive) -> str:
    return f"line {one.line}: {one}"
