# TLS options of a site: what they say together, and the files that they name, read.
#
# Rule: files are read by who starts Bigtop, root perhaps, and by nobody else. What is wrong with them is told
# before anything starts.

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bigtop.backends.serve_options import TlsPolicy
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import DEFAULT, ServeConfig
from bigtop.config.serve.specs import acme
from bigtop.config.serve.tls_sources import AcmeSpec, TlsAuto, TlsFiles, TlsLocal, TlsSources
from bigtop.errors import ConfigError
from bigtop.ipc.keyring import KeyPair, Keyring, TicketSecret
from bigtop.keeper import trusted
from bigtop.keeper.local.local_names import USUAL
from bigtop.keeper.storage import file_name

if TYPE_CHECKING:
    from bigtop.keeper.certificates import Pair

# What is about handshakes; requests that came by https may have come to a proxy.
_FIELDS: Final = (
    *("tls.minimum", "tls.ciphers", "tls.unknown_name", "tls.client_auth"),
    "limits.handshake_timeout",
)
_GIVEN: Final = (o.CLIENT_CA, o.CLIENT_CRL, o.TLS_TICKET_SECRET)
_ABOUT: Final = (*_GIVEN, *(option for option in o.OPTIONS if option.field in _FIELDS))
(_CLIENT_AUTH,) = (option for option in o.OPTIONS if option.field == "tls.client_auth")
_LONGEST: Final = 1 << 20  # bytes of a file
_SECRET: Final = 32  # bytes, at least, of what nobody is to guess


def sources(config: ServeConfig, base: str) -> TlsSources:
    """Return where certificates are. ConfigError: options that make no sense so."""
    found = [one for one in config[o.TLS] if isinstance(one, TlsFiles)]
    local = [name for one in config[o.TLS] if isinstance(one, TlsLocal) for name in one.names or USUAL]
    auto = tuple(one.names for one in config[o.TLS] if isinstance(one, TlsAuto))
    certificate, key = config[o.CERTFILE], config[o.KEYFILE]
    if certificate is not None:
        found.append(TlsFiles(certificate, key or certificate))
    elif key is not None:
        raise ConfigError(f"{_origin(config, o.KEYFILE)}: does nothing without {o.CERTFILE.flag}")
    if not (found or local or auto):
        for option in _ABOUT:
            if _is_asked_for(config, option):
                raise ConfigError(f"{_origin(config, option)}: does nothing without {o.TLS.flag}")
    client_ca, client_crl, secret = (config[option] for option in _GIVEN)
    for option in (_CLIENT_AUTH, o.CLIENT_CRL):
        if client_ca is None and _is_asked_for(config, option):
            raise ConfigError(f"{_origin(config, option)}: does nothing without {o.CLIENT_CA.flag}")
    return TlsSources(
        tuple(TlsFiles(os.path.join(base, one.certificate), os.path.join(base, one.key)) for one in found),
        "" if client_ca is None else os.path.join(base, client_ca),
        tuple(dict.fromkeys(local)),
        auto,
        acme.spec(config, base),
        "" if client_crl is None else os.path.join(base, client_crl),
        "" if secret is None else os.path.join(base, secret),
    )


def _is_asked_for(config: ServeConfig, option: Option[object]) -> bool:
    """Whether somebody wants something else than there is without TLS: files often say the usual."""
    return _origin(config, option) != DEFAULT and config[option] not in (option.parse(option.default), "off")


def _origin(config: ServeConfig, option: Option[object]) -> str:
    return config.settings[option.name].given.origin


def lacking(found: TlsSources) -> str:
    """Return why the local CA cannot be had, "" if it can or nobody wants it."""
    if not found.local:
        return ""
    if importlib.util.find_spec("cryptography") is None:
        return "local: making certificates needs cryptography: pip install 'bigtop[tls]'"
    from bigtop.keeper.local import local_ca  # with cryptography, for those who need it

    problem = local_ca.problem(os.environ)
    return f"local: {problem}" if problem else ""


def check(found: TlsSources, policy: TlsPolicy) -> None:
    """ConfigError: what these sources hold cannot be served with. Nothing is lacking."""
    made = None
    if found.local:
        from bigtop.keeper import signing  # with cryptography, for those who need it

        now = time.time()
        root = signing.root("Trial", now, 1.0, is_for_hosts=True)  # the real one is made when it is needed
        made = signing.leaf(root, found.local, now, 1.0)
    _tried(found, policy, (), made)


def keyring(
    found: TlsSources, policy: TlsPolicy, secrets: Sequence[TicketSecret], got: Sequence[KeyPair] = ()
) -> Keyring:
    """Return what these sources hold; `got` are those that came of CAs, `secrets` are those of session
    tickets if no file has one. ConfigError: it cannot be served with."""
    made = None
    if found.local:
        from bigtop.keeper.local import local_ca  # with cryptography, for those who need it

        made = local_ca.leaf(found.local, time.time(), os.environ)
    return _tried(found, policy, secrets, made, got)


def _tried(
    found: TlsSources,
    policy: TlsPolicy,
    secrets: Sequence[TicketSecret],
    made: Pair | None,
    got: Sequence[KeyPair] = (),
) -> Keyring:
    pairs = [KeyPair(_text(one.certificate), _text(one.key), one.certificate) for one in found.files]
    pairs += got
    if made is not None:
        pairs.append(KeyPair(made.chain_pem.decode(), made.key_pem.decode(), "local CA"))
    ca, crl = (_text(path) if path else "" for path in (found.client_ca, found.client_crl))
    if found.ticket_secret:
        secrets = (_ticket_secret(found.ticket_secret),)
    ring = Keyring(tuple(pairs), ca, crl, tuple(secrets))
    # with OpenSSL, for those who encrypt
    from bigtop.backends.native.transport.tls_contexts import TlsContexts

    TlsContexts(ring, policy)
    if crl:
        _until(found.client_crl, crl, time.time())
    return ring


def _ticket_secret(path: str) -> TicketSecret:
    import hashlib  # with another part of OpenSSL, for those who encrypt

    try:
        content = trusted.read(path, path, (0, os.geteuid()))
    except FileNotFoundError:
        raise ConfigError(f"{path}: No such file or directory") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(content.strip()) < _SECRET:
        raise ConfigError(
            f"{path}: a secret has at least {_SECRET} bytes that nobody can guess: openssl rand -hex 32"
        )
    return TicketSecret(0, hashlib.sha256(b"bigtop session tickets\0" + content.strip()).hexdigest())


def _until(path: str, crl: str, now: float) -> float | None:
    """Return when lists of revoked certificates end, None for never. ConfigError: one has ended, and every
    client would be refused."""
    from bigtop.system import revocations  # with OpenSSL, for those who encrypt

    try:
        ends = revocations.end_of(crl)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if ends is not None and ends <= now:
        day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(ends))
        raise ConfigError(f"{path}: its list ended at {day} UTC; OpenSSL would refuse every client")
    return ends


def described(found: TlsSources, now: float) -> list[str]:
    """Return a line for each certificate, of files that were checked; `now` is POSIX time."""
    from bigtop.system import certificates  # with OpenSSL, for those who encrypt

    lines = []
    if found.local:
        lines.append(f"certificate of the local CA: {' '.join(found.local)}; made at each start, for a week")
    if found.acme is not None:
        lines += [_described_auto(found.acme, names, now) for names in found.auto]
    for one in found.files:
        text = _text(one.certificate)
        facts = certificates.facts_of(text)
        days = int((facts.ends - now) // 86400)
        problem = certificates.chain_problem(text, _text(one.key))
        lines.append(
            f"certificate {one.certificate}: {' '.join(facts.names) or 'no names'}; {facts.kind} key fits; "
            f"{text.count('BEGIN CERTIFICATE')} in its chain{_unless(problem)}; "
            + (f"{days} day{'' if days == 1 else 's'} left" if days >= 0 else "it has expired")
        )
    if found.client_crl:
        ends = _until(found.client_crl, _text(found.client_crl), now)
        until = "for ever" if ends is None else f"until {time.strftime('%Y-%m-%d', time.gmtime(ends))}"
        lines.append(f"revoked certificates of clients {found.client_crl}: {until}")
    return lines


def _unless(problem: str) -> str:
    return f", which clients may be unable to follow: {problem}" if problem else ""


def _described_auto(how: AcmeSpec, names: Sequence[str], now: float) -> str:
    from bigtop.system import certificates  # with OpenSSL, for those who encrypt

    text = acme.stored(how, file_name(names[0]))
    left = "none is there yet"
    if text is not None:
        days = int((certificates.facts_of(text).ends - now) // 86400)
        left = f"{days} day{'' if days == 1 else 's'} left" if days >= 0 else "it has expired"
    where = how.issuers[0].directory
    return f"certificate of {where}: {' '.join(names)}; kept in {how.storage}; {left}"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
