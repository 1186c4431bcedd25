# Text to value, about TLS: where certificates are, which CAs are asked, and how.
#
# Rule: as in values.py. What depends on more than one option is said in acme.py and tls.py.

from __future__ import annotations

import re

from bigtop.config.serve.tls_sources import TlsAuto, TlsFiles, TlsLocal
from bigtop.config.serve.values.values import path
from bigtop.keeper.local import local_names


def tls_source(given: str) -> TlsFiles | TlsLocal | TlsAuto:
    """files:CERT,KEY, with CERT alone the key is in the same file; or local, local:NAMES, auto:NAMES."""
    kind, _, names = given.partition(":")
    if kind == "auto":
        found = tuple(name.strip().lower().removesuffix(".") for name in names.split(","))
        if not all(found):
            raise ValueError(f"must be auto:NAMES, such as auto:example.com,www.example.com, got {given!r}")
        return TlsAuto(found)
    if kind == "local":
        return TlsLocal(tuple(map(_local_name, names.split(","))) if names else ())
    certificate, _, key = names.partition(",")
    if kind != "files" or not certificate or "," in key:
        raise ValueError(f"must be auto:NAMES, files:CERT,KEY or local[:NAMES], got {given!r}")
    return TlsFiles(path(certificate), path(key or certificate))


def _local_name(given: str) -> str:
    name = given.strip().lower()
    if problem := local_names.problem(name):
        raise ValueError(problem)
    return name


def https_host(given: str) -> str:
    """The name of a host, perhaps *.NAME, and perhaps a port."""
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[0-9]{1,5})?", given.lower()):
        raise ValueError(f"must be hosts such as example.com, *.example.com or a.example:8443, got {given!r}")
    return given.lower()


def https_url(given: str) -> str:
    """The address of something that is reached by https."""
    if not re.fullmatch(r"https://[^/\s]+(/\S*)?", given):
        raise ValueError(f"must be an address such as https://ca.example.com/directory, got {given!r}")
    return given


def email(given: str) -> str:
    """An address of e-mail, or nothing."""
    if given and not re.fullmatch(r"[^@\s,?]+@[^@\s,?]+", given):
        raise ValueError(f"must be an address of e-mail such as admin@example.com, got {given!r}")
    return given


def profile(given: str) -> str:
    """A word of a CA's."""
    if not re.fullmatch(r"[\w.-]*", given, re.ASCII):
        raise ValueError(f"must be the name of a profile such as shortlived, got {given!r}")
    return given


def binding(given: str) -> tuple[str, str]:
    """KID,FILE."""
    kid, comma, file = given.partition(",")
    if not kid or not comma or not file:
        raise ValueError(f"must be the id of a key and the file with the key, KID,FILE, got {given!r}")
    return kid, path(file)


def dns_hook(given: str) -> tuple[str, str]:
    """PROGRAM, with arguments as lego has them; or dehydrated:PROGRAM."""
    style, colon, program = given.partition(":")
    if colon and style in ("lego", "dehydrated"):
        return style, path(program)
    return "lego", path(given)


_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400, "": 1}
_HSTS_WORDS = {"subdomains": "includeSubDomains", "preload": "preload"}


def hsts(given: str) -> str:
    """AGE[,subdomains][,preload], as the value of Strict-Transport-Security; "" for none."""
    if not given:
        return ""
    age, *words = given.lower().replace(" ", "").split(",")
    match = re.fullmatch(r"([0-9]{1,9})([smhdwy]?)", age)
    if match is None or not set(words) <= _HSTS_WORDS.keys():
        raise ValueError(
            f"must be an age such as 5m or 1y, with subdomains or preload behind it, got {given!r}"
        )
    return "; ".join([f"max-age={int(match[1]) * _AGES[match[2]]}", *(_HSTS_WORDS[word] for word in words)])
