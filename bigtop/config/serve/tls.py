# TLS of a site as options say it, and the files that these name, read.
#
# Rule: files are read by who starts Bigtop, root perhaps, and by nobody else. What is wrong with them is told
# before anything starts.

from __future__ import annotations

import os
from typing import Final

from bigtop.backends.serve_options import TlsPolicy
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import DEFAULT, ServeConfig
from bigtop.errors import ConfigError
from bigtop.http.declarations import TlsFiles, TlsSources
from bigtop.ipc.keyring import KeyPair, Keyring

# What is about handshakes; requests that came by https may have come to a proxy.
_FIELDS: Final = (
    *("tls.minimum", "tls.ciphers", "tls.unknown_name", "tls.client_auth"),
    "limits.handshake_timeout",
)
_ABOUT: Final = (o.CLIENT_CA, *(option for option in o.OPTIONS if option.field in _FIELDS))
(_CLIENT_AUTH,) = (option for option in o.OPTIONS if option.field == "tls.client_auth")
_LONGEST: Final = 1 << 20  # bytes of a file


def sources(config: ServeConfig, base: str) -> TlsSources:
    """Return where certificates are. ConfigError: options that make no sense so."""
    found = list(config[o.TLS])
    certificate, key = config[o.CERTFILE], config[o.KEYFILE]
    if certificate is not None:
        found.append(TlsFiles(certificate, key or certificate))
    elif key is not None:
        raise ConfigError(f"{_origin(config, o.KEYFILE)}: does nothing without {o.CERTFILE.flag}")
    if not found:
        for option in _ABOUT:
            if _origin(config, option) != DEFAULT:
                raise ConfigError(f"{_origin(config, option)}: does nothing without {o.TLS.flag}")
    client_ca = config[o.CLIENT_CA]
    if client_ca is None and (origin := _origin(config, _CLIENT_AUTH)) != DEFAULT:
        raise ConfigError(f"{origin}: does nothing without {o.CLIENT_CA.flag}")
    return TlsSources(
        tuple(TlsFiles(os.path.join(base, one.certificate), os.path.join(base, one.key)) for one in found),
        "" if client_ca is None else os.path.join(base, client_ca),
    )


def _origin(config: ServeConfig, option: Option[object]) -> str:
    return config.settings[option.name].given.origin


def keyring(found: TlsSources, policy: TlsPolicy, ticket_secret: str) -> Keyring:
    """Return what these files hold. ConfigError: it cannot be served with."""
    pairs = [KeyPair(_text(one.certificate), _text(one.key), one.certificate) for one in found.files]
    ring = Keyring(tuple(pairs), _text(found.client_ca) if found.client_ca else "", ticket_secret)
    from bigtop.backends.native.tls_contexts import TlsContexts  # with OpenSSL, for those who encrypt

    TlsContexts(ring, policy)
    return ring


def described(found: TlsSources, now: float) -> list[str]:
    """Return a line for each certificate, of files that were checked; `now` is POSIX time."""
    from bigtop.system import certificates  # with OpenSSL, for those who encrypt

    lines = []
    for one in found.files:
        text = _text(one.certificate)
        facts = certificates.facts_of(text)
        days = int((facts.ends - now) // 86400)
        lines.append(
            f"certificate {one.certificate}: {' '.join(facts.names) or 'no names'}; {facts.kind} key fits; "
            f"{text.count('BEGIN CERTIFICATE')} in its chain; "
            + (f"{days} day{'' if days == 1 else 's'} left" if days >= 0 else "it has expired")
        )
    return lines


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
