# Locations of a server in nginx.conf: folders of files, the application, and paths of other servers.

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from bigtop.config.convert.nginx import nginx_gates
from bigtop.config.convert.nginx.nginx_file import Directive
from bigtop.config.convert.nginx.nginx_words import NOT_NEEDED, TOLD, seconds
from bigtop.config.convert.site import SiteDraft
from bigtop.config.serve import options as o

_PREFIX: Final = re.compile(r"(/[\w.~-]+)+/?", re.ASCII)
_PASSES: Final = ("proxy_pass", "uwsgi_pass", "fastcgi_pass", "grpc_pass", "scgi_pass")


class Locations:
    """Those of one server; `upstreams` by their names."""

    def __init__(self, site: SiteDraft, server: Directive, upstreams: Mapping[str, Directive]) -> None:
        self._site = site
        self._server = server
        self._upstreams = upstreams
        self._root = ""
        self._of_app = ""  # what is passed to the application's server

    def take(self) -> None:
        """Take all of them: that of the application first."""
        places = list(self._server.all("location"))
        main = [one for one in places if one.args == ("/",)]
        named = [one for one in places if one.args and one.args[-1].startswith("@")]
        for one in (*main, *named):
            if passed := one.first("proxy_pass"):
                self._of_app = self._of_app or _target(passed)
        for one in places:
            self._location(one)

    def take_outer(self, directive: Directive) -> None:
        """Take what stands beside the locations."""
        if directive.name == "root" and directive.args:
            self._root = directive.args[0]
            self._site.needs_not(_said(directive), "static names the folders that are served")
        elif directive.name == "index":
            self._site.needs_not(_said(directive), "there are no index pages; the application answers for /")
        else:
            self._site.lacks(_said(directive), "static serves a folder below a path of its own")

    def _location(self, location: Directive) -> None:
        how, path = (location.args[0] if len(location.args) > 1 else ""), (location.args or ("",))[-1]
        if how in ("~", "~*"):
            self._site.lacks(_said(location), "paths are told apart by how they begin")
            return
        folder = _folder(location, self._root, path)
        passed = next((one for name in _PASSES for one in location.all(name)), None)
        is_file = how == "=" and not passed
        if is_file or (folder and not _PREFIX.fullmatch(path)):
            self._single(location, folder)
        elif folder and not passed:
            self._files(location, path, folder)
        elif passed is not None:
            self._passed(location, path, passed)
        for one in location.block or ():
            self._rest(location, one, path)

    def _single(self, location: Directive, folder: str) -> None:
        if folder and location.args != ("/",):
            self._site.lacks(
                _said(location), "static serves folders; let the application, or a folder, have it"
            )
        elif location.args[:1] == ("=",):
            self._site.needs_not(_said(location), "what is no file is the application's")

    def _files(self, location: Directive, path: str, folder: str) -> None:
        option = o.SENDFILE_ROOT if location.first("internal") else o.STATIC
        self._site.put(option, [f"{path.rstrip('/')}={folder}"], _said(location))

    def _passed(self, location: Directive, path: str, passed: Directive) -> None:
        target = _target(passed)
        if passed.name != "proxy_pass" or path == "/" or path.startswith("@") or target == self._of_app:
            self._site.needs_not(_said(passed), "Bigtop is that server as well")
        elif url := self._url(passed):
            self._site.put(o.PROXY, [f"{path}={url}"], _said(location))
        else:
            self._site.lacks(_said(passed), "proxy names one server, by http:// or unix:")

    def _url(self, passed: Directive) -> str:
        """Return what `passed` names as proxy takes it, "" where it cannot."""
        url = passed.args[0] if passed.args else ""
        match = re.fullmatch(r"http://([\w.-]+)(/.*)?", url)
        if match is None or match[1] not in self._upstreams:
            return "" if "$" in url else url
        servers = list(self._upstreams[match[1]].all("server"))
        if len(servers) != 1:
            return ""
        return f"http://{servers[0].args[0]}" + (match[2] or "")

    def _rest(self, location: Directive, one: Directive, path: str) -> None:
        name, site = one.name, self._site
        if name in (*_PASSES, "alias", "root"):
            return
        if name == "proxy_set_header":
            if one.args[:1] and one.args[0].lower() in TOLD:
                site.needs_not(_said(one), "the application is told")
            else:
                site.lacks(_said(one), "let the application, or a middleware, see to it")
        elif name in ("proxy_read_timeout", "proxy_connect_timeout"):
            self._time(location, one, path)
        elif name == "try_files":
            self._try_files(one)
        elif name in NOT_NEEDED or name == "access_log":
            site.needs_not(_said(one), NOT_NEEDED.get(name, "there is one access log, or none"))
        elif name == "add_header" and one.args[:1] and one.args[0].lower() in ("cache-control", "pragma"):
            site.needs_not(_said(one), NOT_NEEDED["expires"])
        elif name in nginx_gates.NAMES:
            pass  # read by itself
        else:
            site.lacks(f"{_said(one)}, in location {path}")

    def _time(self, location: Directive, one: Directive, path: str) -> None:
        found = seconds(one.args[0]) if one.args else None
        is_other = self._site.has(o.PROXY) and path != "/"
        if found is None:
            self._site.lacks(_said(one), "it is no time")
        elif is_other:
            option = o.PROXY_TIMEOUT if one.name == "proxy_read_timeout" else o.PROXY_CONNECT_TIMEOUT
            self._site.put(option, f"{found:g}", _said(one))
        elif one.name == "proxy_read_timeout":
            self._site.put(o.TIMEOUT, f"{found:g}", _said(one))
        else:
            self._site.needs_not(_said(one), "the application is in the same process")

    def _try_files(self, one: Directive) -> None:
        if one.args[-1:] == ("=404",):
            self._site.needs_not(_said(one), "what is no file below static is a 404")
        else:
            self._site.lacks(_said(one), "static serves a folder below a path of its own")


def _folder(location: Directive, root: str, path: str) -> str:
    """Return the folder of a location that serves files, "" for none."""
    if (alias := location.first("alias")) is not None and alias.args:
        return alias.args[0].rstrip("/") or "/"
    own = location.first("root")
    if own is not None and own.args:
        root = own.args[0]
    elif location.first("try_files") is None and not location.first("expires"):
        return ""
    return os.path.join(root, path.strip("/")) if root else ""


def _target(passed: Directive) -> str:
    """Return whom a directive passes to, without a path."""
    url = passed.args[0] if passed.args else ""
    scheme, separator, rest = url.partition("://")
    return (scheme + separator + rest.partition("/")[0]) if not rest.startswith("unix:") else url


def _said(one: Directive) -> str:
    return f"line {one.line}: {one}"
