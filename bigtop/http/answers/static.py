# Files under a URL: which file a target names, and how a file answers a request (RFC 9110, 8.8, 13 and 14).
#
# Rule 1: no I/O. A target becomes a path here, somebody else opens it and comes back with what he found.
# Rule 2: a path is a list of plain names. What could lead a file system anywhere else (dots, slashes that
# were encoded, NUL) names nothing, as if there were no such file; so does what begins with a dot.
# Rule 3: paths are bytes from end to end. Nothing is decoded, so nothing can be decoded differently.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from bigtop.http.answers.codings import taken
from bigtop.http.answers.conditions import Range, check, parse_ranges
from bigtop.http.messages import Request, Wishes
from bigtop.http.response import Headers, http_date

ENCODINGS: Final = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}  # in our order of preference
_FILES: Final = tuple(ENCODINGS)

_IMMUTABLE: Final = "public, max-age=31536000, immutable"
# A browser that is told nothing guesses from the age of a file. Asking each time costs a 304.
_CHANGING: Final = "no-cache"
# style.55e7cbb9ba48.css of Django, main.8f3b1c2d.js of webpack; no date and no word: digits and letters.
_HEX: Final = re.compile(
    rb"(?:\.|-(?=[0-9a-f]{16}))(?=[a-f]*[0-9])(?=[0-9]*[a-f])(?:[0-9a-f]{8}|[0-9a-f]{12}|[0-9a-f]{16,64})\.\w",
    re.ASCII,
)
# index-DiwrgTda.js of Vite and Rollup: eight characters of base64, of three kinds, so that no word is meant.
_BASE64: Final = re.compile(
    rb"-(?=[\w-]{0,7}[0-9])(?=[\w-]{0,7}[a-z])(?=[\w-]{0,7}[A-Z])[\w-]{8}\.\w", re.ASCII
)

# Types of what sites are made of. Not the mimetypes module, whose answers depend on the machine.
_TEXTS: Final = {
    "css": "text/css", "csv": "text/csv", "htm": "text/html", "html": "text/html", "ics": "text/calendar",
    "js": "text/javascript", "md": "text/markdown", "mjs": "text/javascript", "txt": "text/plain",
    "vtt": "text/vtt", "xml": "text/xml",
}  # fmt: skip
_TYPES: Final = {
    "7z": "application/x-7z-compressed", "aac": "audio/aac", "apng": "image/apng",
    "atom": "application/atom+xml", "avif": "image/avif", "bmp": "image/bmp", "bz2": "application/x-bzip2",
    "eot": "application/vnd.ms-fontobject", "epub": "application/epub+zip", "flac": "audio/flac",
    "gif": "image/gif", "gz": "application/gzip", "ico": "image/x-icon", "jpeg": "image/jpeg",
    "jpg": "image/jpeg", "json": "application/json", "jsonld": "application/ld+json",
    "m4a": "audio/mp4", "m4v": "video/mp4", "map": "application/json", "mov": "video/quicktime",
    "mp3": "audio/mpeg", "mp4": "video/mp4", "oga": "audio/ogg", "ogg": "audio/ogg", "ogv": "video/ogg",
    "opus": "audio/ogg", "otf": "font/otf", "pdf": "application/pdf", "png": "image/png",
    "rss": "application/rss+xml", "rtf": "application/rtf", "svg": "image/svg+xml",
    "tar": "application/x-tar", "tif": "image/tiff", "tiff": "image/tiff", "ttf": "font/ttf",
    "wasm": "application/wasm", "wav": "audio/wav", "weba": "audio/webm", "webm": "video/webm",
    "webmanifest": "application/manifest+json", "webp": "image/webp", "woff": "font/woff",
    "woff2": "font/woff2", "xhtml": "application/xhtml+xml", "xz": "application/x-xz",
    "zip": "application/zip", "zst": "application/zstd",
}  # fmt: skip

_CONDITIONS: Final = frozenset(
    (b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since", b"range")
)


class File(NamedTuple):
    """What is known of an open file: of one of its encodings, when `encoding` is not empty."""

    size: int
    modified: int  # nanoseconds, POSIX
    encoding: str = ""

    @property
    def etag(self) -> str:
        """A strong validator. Without the inode, so that machines with the same files agree."""
        return f'"{self.modified:x}-{self.size:x}{self.encoding and "-" + self.encoding}"'


class Plan(NamedTuple):
    """An answer: its body is the `pieces`, where a Range stands for so many bytes of the file."""

    status: str
    headers: Headers
    pieces: Sequence[bytes | Range]


@lru_cache(maxsize=512)
def path_in(target: bytes, prefix: bytes) -> bytes | None:
    """Return the path of the file that `target` names below `prefix`; None when it can name none."""
    path = target.partition(b"?")[0]
    if not path.startswith(prefix):
        return None
    names = path[len(prefix) :].split(b"/")
    if b"%" in path:
        # Names are divided before they are decoded: %2F is no divider, and no name may hold one.
        names = [unquote_to_bytes(name) for name in names]
    return b"/".join(names) if all(_is_plain(name) for name in names) else None


def path_below(path: bytes, folder: bytes) -> bytes | None:
    """Return what an absolute `path` of the file system is called below `folder`; None outside of it."""
    names = path.removeprefix(folder.rstrip(b"/") + b"/")
    is_below = names != path and all(_is_plain(name) for name in names.split(b"/"))
    return names if is_below else None


def is_place(target: bytes) -> bool:
    """Whether a target may be a place in an application of one page: its last name, without a dot, is no
    file's."""
    name = target.partition(b"?")[0].rpartition(b"/")[2]
    return b"." not in name and b"%2e" not in name.lower()


def _is_plain(name: bytes) -> bool:
    dotted = name.startswith(b".") and name != b".well-known"
    return bool(name) and not dotted and b"/" not in name and b"\\" not in name and b"\0" not in name


def media_type(path: bytes) -> str:
    extension = path.rpartition(b".")[2].decode("latin-1").lower() if b"." in path else ""
    if extension in _TEXTS:
        return _TEXTS[extension] + "; charset=utf-8"
    return _TYPES.get(extension, "application/octet-stream")


def caching(path: bytes) -> str:
    """Return the Cache-Control of a file: for ever when its name holds a hash of its contents."""
    name = path.rpartition(b"/")[2]
    return _IMMUTABLE if _HEX.search(name) or _BASE64.search(name) else _CHANGING


def encodings(accept: bytes) -> tuple[str, ...]:
    """Return the encodings of files that a client takes according to its Accept-Encoding, the best first."""
    return taken(accept, _FILES)


def not_found() -> Plan:
    return _text("404 Not Found", "There is no such file.\n")


def not_allowed() -> Plan:
    return _text("405 Method Not Allowed", "Files can be read only.\n", ("Allow", "GET, HEAD"))


def unavailable() -> Plan:
    return _text(
        "503 Service Unavailable", "The file cannot be opened at the moment.\n", ("Retry-After", "1")
    )


def describe(path: bytes, file: File, varies: bool) -> Headers:
    """Return the headers of a static file; `varies`: whether it has encodings to choose from."""
    headers = [("Content-Type", media_type(path)), ("Cache-Control", caching(path))]
    if file.encoding:
        headers.append(("Content-Encoding", file.encoding))
    if varies:
        headers.append(("Vary", "Accept-Encoding"))
    return validated(headers, file)


def validated(headers: Headers, file: File) -> Headers:
    """Add what tells one state of a file from another; what an application said about that stays."""
    known = {name.lower() for name, _ in headers}
    more = [
        ("ETag", file.etag),
        ("Last-Modified", http_date(file.modified // 1_000_000_000)),
        ("Accept-Ranges", "bytes"),
    ]
    return [*headers, *(pair for pair in more if pair[0].lower() not in known)]


def wishes(request: Request) -> Wishes:
    """Return how a request wants the file that it names; conditions are for GET and HEAD only."""
    found = asked(request)
    if request.method == "GET" or not found.conditions:
        return found
    # RFC 9110, 14.2: a range is defined for GET only.
    kept = {name: text for name, text in found.conditions.items() if name != b"range"}
    conditions = kept if request.method == "HEAD" else {}
    return Wishes(found.encodings, conditions, found.accepts, found.is_exposed)


def asked(request: Request) -> Wishes:
    """Return what the header of a request says about how an answer is wanted, whatever its method."""
    fields = request.fields
    found = None if fields is None else fields.wishes
    if found is None:
        found = _asked(request.headers)
        if fields is not None:
            fields.wishes = found
    return found


def _asked(headers: Sequence[tuple[bytes, bytes]]) -> Wishes:
    accepted: list[bytes] = []
    conditions: dict[bytes, str] = {}
    has_secrets = is_foreign = False
    for name, value in headers:
        field = name.lower()
        if field == b"accept-encoding":
            accepted.append(value)
        elif field in _CONDITIONS:
            text = value.decode("latin-1")
            conditions[field] = f"{conditions[field]}, {text}" if field in conditions else text
        elif field == b"cookie" or field == b"authorization":
            has_secrets = True
        elif field == b"sec-fetch-site":
            is_foreign = value.strip().lower() == b"cross-site"
    accepts = b",".join(accepted)
    return Wishes(encodings(accepts) if accepted else (), conditions, accepts, has_secrets and is_foreign)


def plan(conditions: Mapping[bytes, str], size: int, headers: Headers) -> Plan:
    """Return the answer with a file of `size` bytes and validated `headers`, under these `conditions`."""
    whole = Plan("200 OK", headers, [Range(0, size)])
    if not conditions:
        return whole
    known = {name.lower(): value for name, value in headers}
    etag, modified = known["etag"], known["last-modified"]
    verdict = check(conditions, etag, modified)
    if verdict == 304:
        # What describes the body would describe the one that is not sent (RFC 9110, 15.4.5).
        kept = [pair for pair in headers if not pair[0].lower().startswith(("content-", "accept-"))]
        return Plan("304 Not Modified", kept, [])
    if verdict == 412:
        return _text("412 Precondition Failed", "The file is not what was expected.\n")
    if b"range" not in conditions:
        return whole
    ranges = parse_ranges(conditions[b"range"], conditions.get(b"if-range", ""), size, etag, modified)
    if ranges is None:
        return whole
    if not ranges:
        return _text(
            "416 Range Not Satisfiable", "The file is shorter.\n", ("Content-Range", f"bytes */{size}")
        )
    if len(ranges) == 1:
        part = ("Content-Range", _content_range(ranges[0], size))
        return Plan("206 Partial Content", [*headers, part], ranges)
    return _multipart(headers, ranges, size, etag)


def _multipart(headers: Headers, ranges: Sequence[Range], size: int, etag: str) -> Plan:
    boundary = "bigtop-" + re.sub(r"[^0-9A-Za-z]", "", etag)[:60]
    types = [value for name, value in headers if name.lower() == "content-type"]
    kept = [pair for pair in headers if pair[0].lower() != "content-type"]
    pieces: list[bytes | Range] = []
    for part in ranges:
        head = f"\r\n--{boundary}\r\n" if pieces else f"--{boundary}\r\n"
        head += f"Content-Type: {types[0]}\r\n" if types else ""
        head += f"Content-Range: {_content_range(part, size)}\r\n\r\n"
        pieces += [head.encode("latin-1"), part]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    multipart = ("Content-Type", f"multipart/byteranges; boundary={boundary}")
    return Plan("206 Partial Content", [multipart, *kept], pieces)


def _content_range(part: Range, size: int) -> str:
    return f"bytes {part.offset}-{part.offset + part.length - 1}/{size}"


def _text(status: str, text: str, *headers: tuple[str, str]) -> Plan:
    return Plan(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], [text.encode()])
