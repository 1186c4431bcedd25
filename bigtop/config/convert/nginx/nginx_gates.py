# Gates of nginx.conf, for a server and for its locations: who is let in, how often, with how large a body;
# and what is done to answers there: compression, and fields that are added.
#
# Rule 1: in nginx, what `location /` says is for that location alone. Here it is for the whole application,
# so another location that says less has that taken back in its section.
# Rule 2: a location is the path as it is written, and all that begins so. /admin is "/admin*", since a path
# without wildcards is whole segments here; /admin/ is the path and all below it.
# Rule 3: what cannot be said exactly is not said, with its line: nobody is let in by mistake.

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from bigtop.config.convert.nginx.nginx_file import Directive
from bigtop.config.convert.site import SiteDraft
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.http.declarations import COMPRESSED_TYPES

_PATH: Final = re.compile(r"(/[\w.~-]+)+/?", re.ASCII)
_BROTLI: Final = ("brotli", "zstd")
NAMES: Final = frozenset(
    ("allow", "deny", "auth_basic", "auth_basic_user_file", "limit_req", "client_max_body_size", "gzip",
     "gzip_types", "gzip_min_length", "add_header", *_BROTLI)
)  # fmt: skip


class Said(NamedTuple):
    """A value of an option, and where the old file says so."""

    option: Option[object]
    value: object
    line: str


class Level(NamedTuple):
    """What counts at one level: by names of options, and who is asked for a password, where one is."""

    found: dict[str, Said]
    realm: Directive | None = None
    users: Directive | None = None


# What takes back what the application's section says.
_OFF: Final[Mapping[str, object]] = {
    o.ALLOWED.name: ["off"],
    o.DENIED.name: ["off"],
    o.BASIC_AUTH.name: "off",
    o.LIMIT_ADDRESS_RATE.name: 0,
    o.COMPRESS.name: ["off"],
}
_OPTIONS: Final[Mapping[str, Option[object]]] = {
    option.name: option for option in (o.ALLOWED, o.DENIED, o.BASIC_AUTH, o.LIMIT_ADDRESS_RATE, o.COMPRESS)
}


def take(site: SiteDraft, server: Directive, general: Sequence[Directive]) -> None:
    """Take all of them, of a `server` and what stands outside of it."""
    reader = _Reader(site, general)
    outer = reader.level((*general, *(server.block or ())), Level({}))
    places = [one for one in server.all("location") if one.args and _is_path(one)]
    main = next((one for one in places if one.args[-1] == "/" and one.args[0] != "="), None)
    whole = outer.found if main is None else reader.level(main.block or (), outer).found
    for said in whole.values():
        if said.value != _OFF.get(said.option.name):
            site.put(said.option, said.value, said.line)
    for place in places:
        if place is not main:
            _take_place(site, place, reader.level(place.block or (), outer).found, whole)
    for place in server.all("location"):
        if place.args[-1:] and place.args[-1].startswith("@"):
            for one in place.block or ():
                if one.name in NAMES:
                    site.lacks(f"{said_of(one)}, in location {place.args[-1]}", "a section is about a path")


def _is_path(location: Directive) -> bool:
    return location.args[0] not in ("~", "~*") and location.args[-1].startswith("/")


def _take_place(site: SiteDraft, place: Directive, found: dict[str, Said], whole: dict[str, Said]) -> None:
    """Put into the section of a location what is not the same as for the whole application."""
    path = place.args[-1]
    changes = [said for name, said in found.items() if name not in whole or whole[name].value != said.value]
    where = said_of(place)
    changes += [
        Said(_OPTIONS[name], off, f"{where}: without {name}")
        for name, off in _OFF.items()
        if name not in found and name in whole and whole[name].value != off
    ]
    changes = [one for one in changes if one.option.name in whole or one.value != _OFF.get(one.option.name)]
    if not changes:
        return
    if _PATH.fullmatch(path) is None:
        for one in changes:
            site.lacks(one.line, f"{path} is no path that a section can have")
        return
    is_folder = path.endswith("/") or place.args[0] == "="
    section = site.at(path if is_folder else f"{path}*")
    for one in changes:
        section.put(one.option, one.value, one.line)


class _Reader:
    """Reads the directives of one level after the other. What it cannot say becomes a comment of `site`."""

    def __init__(self, site: SiteDraft, general: Iterable[Directive]) -> None:
        self._site = site
        self._zones: dict[str, str] = {}  # what is said of them, by their names
        for one in general:
            if one.name == "limit_req_zone":
                self._zone(one)

    def level(self, block: Iterable[Directive], outer: Level) -> Level:
        """Return what counts where these directives stand, inside of where `outer` counts."""
        here: dict[str, list[Directive]] = {}
        for one in block:
            if one.name in NAMES and one.args:
                here.setdefault(one.name, []).append(one)
        found = dict(outer.found)
        if rules := [one for one in block if one.name in ("allow", "deny") and one.args]:
            self._access(rules, found)
        realm = here["auth_basic"][-1] if "auth_basic" in here else outer.realm
        users = here["auth_basic_user_file"][-1] if "auth_basic_user_file" in here else outer.users
        self._auth(realm, users, found)
        for one in here.get("limit_req", ()):
            self._rate(one, found)
        for one in here.get("client_max_body_size", ()):
            _put(found, o.LIMIT_REQUEST_BODY, one.args[0].upper(), one)
        self._compression(here, found)
        self._headers(here.get("add_header", ()), found)
        return Level(found, realm, users)

    def _access(self, rules: Sequence[Directive], found: dict[str, Said]) -> None:
        """The first rule that fits counts there. Here who is denied is denied, whatever else is said."""
        allowed: list[str] = []
        denied: list[str] = []
        last = f"{rules[0].name} {rules[0].args[0]}"
        for one in rules:
            who = one.args[0]
            last = f"{one.name} {who}"
            if who == "all":
                break
            is_known = _is_network(who)
            if not is_known:
                self._site.lacks(said_of(one), "lists have addresses and networks")
            if one.name == "deny" and (allowed or not is_known):
                if is_known:
                    self._site.lacks(said_of(rules[0]), "deny is stronger than allow, whichever comes first")
                allowed, denied, last = [], ["*"], ""
                break
            if not is_known:
                continue
            (allowed if one.name == "allow" else denied).append(who)
        if last == "deny all" and not allowed:
            denied = ["*"]
        for option, who_all in ((o.ALLOWED, allowed if last == "deny all" else []), (o.DENIED, denied)):
            if who_all:
                _put(found, option, [",".join(who_all)], rules[0])
            elif option.name in found:
                _put(found, option, _OFF[option.name], rules[0])

    def _auth(self, realm: Directive | None, users: Directive | None, found: dict[str, Said]) -> None:
        if realm is None:
            return
        if realm.args[0] == "off":
            if o.BASIC_AUTH.name in found:
                _put(found, o.BASIC_AUTH, "off", realm)
        elif users is None:
            self._site.lacks(said_of(realm), "auth_basic_user_file names no file of users")
        else:
            _put(found, o.BASIC_AUTH, users.args[0], users)
            _put(found, o.BASIC_AUTH_REALM, realm.args[0], realm)

    def _zone(self, one: Directive) -> None:
        match = re.fullmatch(r"(\S+) .*?zone=([^:\s]+)\S* .*?rate=([0-9]+)r/([sm]).*", " ".join(one.args))
        if match is None or match[1] not in ("$binary_remote_addr", "$remote_addr"):
            self._site.lacks(said_of(one), "limit_address_rate counts the requests of an address")
        else:
            self._zones[match[2]] = match[3] if match[4] == "s" else f"{match[3]}/m"

    def _rate(self, one: Directive, found: dict[str, Said]) -> None:
        words = dict(word.partition("=")[::2] for word in one.args)
        rate = self._zones.get(words.get("zone", ""))
        if rate is None:
            self._site.lacks(said_of(one), "there is no such zone, or none for addresses")
            return
        _put(found, o.LIMIT_ADDRESS_RATE, rate, one)
        if "burst" in words:
            self._site.lacks(
                f"{said_of(one)}: burst", f"as many as {rate} says may come at once, and none of them waits"
            )

    def _compression(self, here: Mapping[str, Sequence[Directive]], found: dict[str, Said]) -> None:
        for name in (*_BROTLI, "gzip"):
            for one in here.get(name, ()):
                if one.args[0] == "on":
                    _put(found, o.COMPRESS, ["auto"], one)
                elif name == "gzip":
                    _put(found, o.COMPRESS, _OFF[o.COMPRESS.name], one)
        for one in here.get("gzip_min_length", ()):
            _put(found, o.COMPRESS_MIN, one.args[0].upper(), one)
        for one in here.get("gzip_types", ()):
            types = [kind for kind in one.args if not _is_compressed(kind)]
            if types == ["*"]:
                _put(found, o.COMPRESS_TYPES, ["*/*"], one)
            elif types:
                _put(found, o.COMPRESS_TYPES, [",".join((*COMPRESSED_TYPES, *types))], one)
            else:
                self._site.needs_not(said_of(one), "these types are compressed anyway")

    def _headers(self, directives: Sequence[Directive], found: dict[str, Said]) -> None:
        lines = [
            f"{one.args[0]}: {one.args[1]}"
            for one in directives
            if len(one.args) > 1 and not _is_elsewhere(one) and "$" not in one.args[1]
        ]
        for one in directives:
            if len(one.args) < 2 or (not _is_elsewhere(one) and "$" in one.args[1]):
                self._site.lacks(said_of(one), "add_header takes a field and a value without variables")
        if lines:
            _put(found, o.ADD_HEADER, lines, directives[0])


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_compressed(kind: str) -> bool:
    """Whether a media type is one of those that are compressed unless something else is said."""
    return kind != "*" and any(fnmatchcase(kind.lower(), one) for one in COMPRESSED_TYPES)


def _is_elsewhere(one: Directive) -> bool:
    """Whether a field is something else's than add_header's: HSTS has an option, files have their rules."""
    return one.args[0].lower() in ("strict-transport-security", "cache-control", "pragma")


def _put(found: dict[str, Said], option: Option[object], value: object, one: Directive) -> None:
    found[option.name] = Said(option, value, said_of(one))


def said_of(one: Directive) -> str:
    """Return a directive as comments name it."""
    return f"line {one.line}: {one}"
