# Preflight check of a site: what it asks for and cannot have on this machine, before anything is started.
#
# Rule: nothing of the application is imported, nothing bound. It is asked for every site that is described,
# by flags, by arguments and in files, so that checking and running cannot disagree.

from __future__ import annotations

import importlib.util
import os

from bigtop import emission, target
from bigtop.backends import registry
from bigtop.config.serve import options as o
from bigtop.config.serve import overlap
from bigtop.config.serve.option import Option
from bigtop.config.serve.serve import ServeSpec
from bigtop.config.serve.settings import ServeConfig
from bigtop.config.serve.specs import acme, deploys, tls
from bigtop.config.serve.tls_sources import KEEPER
from bigtop.errors import ConfigError
from bigtop.hooks.names import REQUEST
from bigtop.system import accounts


def check(config: ServeConfig, spec: ServeSpec) -> None:
    """ConfigError says which option asks for what cannot be had; AppError, that APP names nothing."""
    for app in (spec.app, *(app for _path, app in spec.mounts)):
        target.check(app, spec.folder)
    try:
        accounts.account(spec.identity.user, spec.identity.group, "--group")
    except LookupError as error:
        raise _wrong(config, o.USER, str(error)) from None
    _check_addresses(config, spec)
    try:
        check_backend(config, spec)
    except ConfigError as error:
        raise _wrong(config, o.BACKEND, str(error)) from None
    if spec.tls.is_wanted:
        _check_tls(config, spec)
    if spec.retirement.refork and spec.preload == "off":
        raise _wrong(
            config, o.REFORK, f"takes workers that did not import for themselves: no {o.PRELOAD.flag} off"
        )
    for option in (o.LOG_CONFIG, o.LOG_CONFIG_JSON):
        path = config[option]
        if path is not None and not os.path.isfile(os.path.join(spec.folder, path)):
            raise _wrong(config, option, f"there is no file {os.path.join(spec.folder, path)}")
    if spec.sources.watched and importlib.util.find_spec("watchfiles") is None:
        raise _wrong(config, o.RELOAD, "needs watchfiles: pip install 'bigtop[reload]'")
    if problem := emission.lacking(spec.otlp):
        raise _wrong(config, o.OTLP_ENDPOINT, problem)


def _check_tls(config: ServeConfig, spec: ServeSpec) -> None:
    if spec.options.wants_balancers:
        raise ConfigError("--tls: cannot be had with --proxy-protocol yet: let the balancer end TLS")
    if problem := tls.lacking(spec.tls):
        raise _wrong(config, o.TLS, problem)
    if spec.tls.acme is not None:
        acme.check(config, spec.tls.acme, spec.tls.auto)
        if spec.name.lower() == KEEPER:
            raise _wrong(config, o.NAME, f"{KEEPER} is the process that gets certificates: choose another")
    tls.check(spec.tls, spec.options.tls)


def check_backend(config: ServeConfig, spec: ServeSpec) -> None:
    """ConfigError: the backend that is named, if one is, cannot do what is asked of it."""
    if spec.backend is None:
        return
    backend = registry.load(spec.backend)
    registry.require(
        backend,
        interface=backend.features.interface,
        options=spec.options,
        unix=any(bind.path is not None for bind in spec.binds),
        request_hooks=not REQUEST.isdisjoint(spec.hooks.names),
        tls=spec.tls.is_wanted,
    )
    if (flag := deploys.holding(config)) is not None:
        registry.require_held(backend, flag)
    if spec.retirement.refork:
        registry.require_reforking(backend)


def _check_addresses(config: ServeConfig, spec: ServeSpec) -> None:
    for earlier, later in overlap.pairs(spec.binds):
        one, other = spec.binds[earlier], spec.binds[later]
        option = o.HTTP_BIND if spec.tls.is_wanted and not other.tls else o.BIND
        raise _wrong(config, option, f"{other.name} cannot be had beside {one.name}: it is the same address")
    if spec.admin is not None and any(overlap.overlap(bind, spec.admin.bind) for bind in spec.binds):
        raise _wrong(config, o.ADMIN, f"{spec.admin.bind.name} is an address of --bind")


def _wrong(config: ServeConfig, option: Option[object], problem: str) -> ConfigError:
    return ConfigError(f"{config.settings[option.name].given.origin}: {problem}")
