# ACME options of a site: which CAs are asked for its certificates, how, and where these are kept.
#
# Rule 1: what --tls auto means where nobody said otherwise is decided here, before anything reads options.
# Rule 2: a check writes nothing and asks nobody on the network.

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import DEFAULT, Given, ServeConfig, Setting
from bigtop.config.serve.tls_sources import AcmeSpec, TlsAuto
from bigtop.errors import BigtopError, ConfigError
from bigtop.ipc.keyring import TicketSecret
from bigtop.keeper import issuers, storage, trusted
from bigtop.keeper.acme import kinds
from bigtop.keeper.issuers import LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Issuer
from bigtop.keeper.storage import Storage
from bigtop.record import replace
from bigtop.sockets import SocketSpec, parse_bind
from bigtop.system import accounts

if TYPE_CHECKING:
    from bigtop.keeper.orders import Orders

BY_AUTO: Final = "default of --tls auto"
ABOUT: Final[tuple[Option[object], ...]] = (
    *(o.TLS_STORAGE, o.TLS_STORAGE_EPHEMERAL, o.TLS_KEEPER_USER),
    *(o.ACME_DIRECTORY, o.ACME_EMAIL, o.ACME_ROOT_CERT, o.ACME_PROFILE, o.ACME_EAB),
    *(o.ACME_FALLBACK, o.ACME_FALLBACK_EAB, o.ACME_DNS_HOOK, o.ACME_DNS_WAIT),
)
_HTTPS, _HTTP = 443, 80  # where a CA comes


# ---- what is there where nobody said otherwise


def completed(config: ServeConfig) -> ServeConfig:
    """Return the options with what --tls auto stands for: ports 443 and 80, and redirects to https."""
    names = [name for one in config[o.TLS] if isinstance(one, TlsAuto) for name in one.names]
    if not names:
        return config
    settings = dict(config.settings)
    if settings[o.BIND.name].given.origin == DEFAULT:
        settings[o.BIND.name] = _setting(o.BIND, f":{_HTTPS}")
    binds = [parse_bind(text) for text in settings[o.BIND.name].given.texts]
    public = [bind for bind in binds if bind.port == _HTTPS and bind.path is None and bind.fd is None]
    if settings[o.HTTP_BIND.name].given.origin == DEFAULT and public:
        settings[o.HTTP_BIND.name] = _setting(o.HTTP_BIND, *map(_beside, public))
    hosts = [name for name in names if not _is_address(name)]
    if settings[o.HTTPS_REDIRECT.name].given.origin == DEFAULT and hosts:
        settings[o.HTTPS_REDIRECT.name] = _setting(o.HTTPS_REDIRECT, *hosts)
    return replace(config, settings=settings)


def _setting(option: Option[object], *texts: str) -> Setting:
    return Setting(Given(texts, BY_AUTO), option.parse(texts))


def _beside(bind: SocketSpec) -> str:
    return f"[{bind.host}]:{_HTTP}" if ":" in bind.host else f"{bind.host}:{_HTTP}"


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def default_storage(environ: Mapping[str, str], uid: int) -> str:
    """Return where certificates are kept unless somebody says so."""
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # of systemd (StateDirectory=)
    if os.path.isabs(state):
        return os.path.join(state, "certificates")
    if uid == 0:
        return "/var/lib/bigtop/certificates"
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        data = os.path.join(os.path.expanduser("~"), ".local/share")
    return os.path.join(data, "bigtop", "certificates")


# ---- what options say


def spec(config: ServeConfig, base: str) -> AcmeSpec | None:
    """Return how certificates are got; None: they are not. ConfigError: options that make no sense so."""
    if not any(isinstance(one, TlsAuto) for one in config[o.TLS]):
        for option in ABOUT:
            if _origin(config, option) != DEFAULT:
                raise ConfigError(f"{_origin(config, option)}: does nothing without {o.TLS.flag} auto:NAMES")
        return None
    hook, storage = config[o.ACME_DNS_HOOK], config[o.TLS_STORAGE]
    shown = (kinds.ALPN,) if config.texts(o.HTTP_BIND) == ("off",) else (kinds.HTTP, kinds.ALPN)
    return AcmeSpec(
        storage=os.path.join(base, storage or default_storage(os.environ, os.geteuid())),
        issuers=_issuers(config, base),
        kinds=(kinds.DNS,) if hook else shown,
        hook=None if hook is None else (hook[0], os.path.join(base, hook[1])),
        dns_wait=_dns_wait(config),
        user=config[o.TLS_KEEPER_USER],
        is_ephemeral=config[o.TLS_STORAGE_EPHEMERAL],
    )


def _dns_wait(config: ServeConfig) -> float:
    origin = _origin(config, o.ACME_DNS_WAIT)
    if origin != DEFAULT and config[o.ACME_DNS_HOOK] is None:
        raise ConfigError(f"{origin}: does nothing without {o.ACME_DNS_HOOK.flag}")
    return config[o.ACME_DNS_WAIT]


def _issuers(config: ServeConfig, base: str) -> tuple[Issuer, ...]:
    directory, fallback = config[o.ACME_DIRECTORY], config[o.ACME_FALLBACK]
    root = config[o.ACME_ROOT_CERT]
    first = Issuer(
        directory,
        LETS_ENCRYPT_STAGING if directory == LETS_ENCRYPT else "",
        config[o.ACME_EMAIL],
        config[o.ACME_PROFILE],
        _binding(config[o.ACME_EAB], base),
        os.path.join(base, root) if root else "",
    )
    if fallback is None:
        if config[o.ACME_FALLBACK_EAB] is not None:
            origin = _origin(config, o.ACME_FALLBACK_EAB)
            raise ConfigError(f"{origin}: does nothing without {o.ACME_FALLBACK.flag}")
        return (first,)
    binding = _binding(config[o.ACME_FALLBACK_EAB], base)
    return first, Issuer(fallback, "", config[o.ACME_EMAIL], "", binding)


def _binding(given: tuple[str, str] | None, base: str) -> tuple[str, str] | None:
    return None if given is None else (given[0], os.path.join(base, given[1]))


def _origin(config: ServeConfig, option: Option[object]) -> str:
    return config.settings[option.name].given.origin


# ---- what cannot be


def check(config: ServeConfig, found: AcmeSpec, sites: Sequence[Sequence[str]]) -> None:
    """ConfigError: certificates for these names cannot be got so."""
    if importlib.util.find_spec("cryptography") is None:
        raise _wrong(
            config, o.TLS, "auto: getting certificates needs cryptography: pip install 'bigtop[tls]'"
        )
    for names in sites:
        for name in names:
            if problem := _problem(name, found):
                raise _wrong(config, o.TLS, f"auto: {problem}")
    try:
        orders(found, sites)
    except ConfigError as error:
        raise _wrong(config, o.TLS, f"auto: {error}") from None
    _check_ports(config, found)
    _check_user(config, found)
    _check_files(config, found)


def _problem(name: str, found: AcmeSpec) -> str:
    first = found.issuers[0]
    if name.startswith("*.") and found.hook is None:
        return f"{name}: a CA certifies that by the DNS alone: {o.ACME_DNS_HOOK.flag} names what changes it"
    if problem := issuers.problem(name, is_public=not first.root_cert):
        return problem
    if _is_address(name) and first.directory == LETS_ENCRYPT and not first.profile:
        return f"{name}: Let's Encrypt certifies addresses with {o.ACME_PROFILE.flag} shortlived only"
    return ""


def _check_ports(config: ServeConfig, found: AcmeSpec) -> None:
    """Who binds other ports than a CA comes to says where these lead: another may pass them on."""
    if found.hook is None and _origin(config, o.HTTP_BIND) == DEFAULT:
        raise _wrong(
            config,
            o.BIND,
            f"a CA comes to port {_HTTP} or {_HTTPS}, and with --tls auto nothing would listen there: "
            f"{o.HTTP_BIND.flag} :{_HTTP} does, or {o.HTTP_BIND.flag} says which port here is port {_HTTP} "
            "outside",
        )


def _check_user(config: ServeConfig, found: AcmeSpec) -> None:
    if found.user is None:
        return
    try:
        account = accounts.account(found.user, None, o.TLS_KEEPER_USER.flag)
    except LookupError as error:
        raise _wrong(config, o.TLS_KEEPER_USER, str(error)) from None
    if os.geteuid() not in (0, account.uid):
        raise _wrong(config, o.TLS_KEEPER_USER, "only root can start it as another user")
    user = config[o.USER]
    if user is not None and accounts.uid_of(user) == account.uid:
        raise _wrong(
            config, o.TLS_KEEPER_USER, f"{found.user} is whom the application runs as, who is to read no keys"
        )


def _check_files(config: ServeConfig, found: AcmeSpec) -> None:
    from bigtop.system import certificates  # with OpenSSL, for those who encrypt

    for option, path, is_secret in _files(found):
        try:
            text = trusted.read(path, path, (0, found.uid)) if is_secret else _read(path)
            if not is_secret:
                certificates.facts_of(text.decode("ascii", "replace"))
        except FileNotFoundError:
            raise _wrong(config, option, f"{path}: No such file or directory") from None
        except ConfigError as error:
            raise _wrong(config, option, str(error) if is_secret else f"{path}: {error}") from None
        except OSError as error:
            raise _wrong(config, option, f"{path}: {error.strerror}") from None
    if found.hook is not None and not (os.path.isfile(found.hook[1]) and os.access(found.hook[1], os.X_OK)):
        raise _wrong(config, o.ACME_DNS_HOOK, f"{found.hook[1]}: is no program")
    _check_storage(config, found)


def _check_storage(config: ServeConfig, found: AcmeSpec) -> None:
    place = found.storage
    try:
        os.close(trusted.open_folder(place, place, owners=(found.uid,)))
    except FileNotFoundError:
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        if not os.path.isdir(place):
            raise _wrong(config, o.TLS_STORAGE, f"{place} is no directory") from None
        if not os.access(place, os.W_OK | os.X_OK):
            raise _wrong(config, o.TLS_STORAGE, f"{place} may not be written to") from None
    except ConfigError as error:
        raise _wrong(config, o.TLS_STORAGE, str(error)) from None
    kind = "" if found.is_ephemeral else storage.volatile_kind_of(place)
    if kind:
        raise _wrong(
            config,
            o.TLS_STORAGE,
            f"{found.storage}: on {kind}, so certificates would be gone with this container or at the next "
            "boot, and the CA's limits soon reached: mount a volume there, or accept that with "
            f"{o.TLS_STORAGE_EPHEMERAL.flag}",
        )


def _files(found: AcmeSpec) -> list[tuple[Option[object], str, bool]]:
    """Return which files are named by which options, and whether they hold secrets."""
    options = (o.ACME_EAB, o.ACME_FALLBACK_EAB)
    files: list[tuple[Option[object], str, bool]] = []
    for option, issuer in zip(options, found.issuers, strict=False):
        if issuer.binding is not None:
            files.append((option, issuer.binding[1], True))
    if found.issuers[0].root_cert:
        files.append((o.ACME_ROOT_CERT, found.issuers[0].root_cert, False))
    return files


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(trusted.LARGEST)


def _wrong(config: ServeConfig, option: Option[object], problem: str) -> ConfigError:
    origin = _origin(config, option)
    return ConfigError(f"{option.flag if origin in (DEFAULT, BY_AUTO) else origin}: {problem}")


# ---- for the keeper, and of it


def stored(found: AcmeSpec, title: str) -> str | None:
    """Return a certificate with its key (PEM), as it was kept. Raises StorageError and TrustError."""
    try:
        with closing(Storage(found.storage, found.uid)) as storage:
            text = storage.load(f"certificates/{title}.pem")
    except FileNotFoundError:
        return None
    return None if text is None else text.decode("ascii", "replace")


def ticket_secrets(found: AcmeSpec, now: float) -> tuple[TicketSecret, ...]:
    """Return those of the storage; none where it cannot be used, which its keeper says."""
    from bigtop.keeper import tickets  # of no use to those who only check

    try:
        with closing(Storage(found.storage, found.uid)) as storage:
            return tickets.read(storage, now)
    except (BigtopError, OSError):
        return ()


def orders(
    found: AcmeSpec,
    sites: Sequence[Sequence[str]],
    line: int | None = None,
    questions: int | None = None,
    page: int | None = None,
) -> Orders:
    """Return what a keeper is told, with its descriptors. ConfigError: two sites have one title."""
    from bigtop.keeper.ordering.dns_hook import DnsHook  # of no use to those who want none
    from bigtop.keeper.orders import Orders

    return Orders(
        storage=found.storage,
        sites=tuple(map(tuple, sites)),
        issuers=found.issuers,
        kinds=found.kinds,
        hook=None if found.hook is None else DnsHook(found.hook[1], found.hook[0], found.dns_wait),
        line=line,
        questions=questions,
        page=page,
    )
