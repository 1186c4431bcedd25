# Orders of a keeper: what it is told when it is started, as one word of its command line.
#
# Rule: everybody can read a command line (ps), so secrets stand in files that it names.

from __future__ import annotations

import json

from bigtop.errors import ConfigError
from bigtop.keeper.acme import kinds
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.ordering.dns_hook import DnsHook
from bigtop.keeper.storage import file_name
from bigtop.record import Record, as_dict


class Orders(Record, kw_only=True):
    """`line`, `questions` and `page` are descriptors: of the line to who started it, of that on which workers
    ask, and of the page that they read; None where there is nobody. Each site is the names of one
    certificate. `watched` are folders of certbot. The second word of an issuer's binding is a file with the
    secret. Raises ConfigError."""

    storage: str
    sites: tuple[tuple[str, ...], ...] = ()
    issuers: tuple[Issuer, ...] = (Issuer(),)
    kinds: tuple[str, ...] = (kinds.HTTP, kinds.ALPN)
    hook: DnsHook | None = None
    watched: tuple[str, ...] = ()
    line: int | None = None
    questions: int | None = None
    page: int | None = None
    ports: tuple[int, int] = (80, 443)  # where a CA comes for HTTP-01 and for TLS-ALPN-01

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for names in self.sites:
            if not names or len(set(names)) < len(names):
                raise ConfigError(
                    f"a certificate is for some names, each once, not for {', '.join(names) or '-'}"
                )
            if file_name(names[0]) in seen:  # which is what its files are called
                raise ConfigError(
                    f"two certificates begin with {names[0]}: begin one with another of its names"
                )
            seen.add(file_name(names[0]))

    def encode(self) -> str:
        return json.dumps(as_dict(self))

    @classmethod
    def decode(cls, text: str) -> Orders:
        words = json.loads(text)
        issuers = [
            Issuer(**{**one, "binding": tuple(one["binding"]) if one["binding"] else None})
            for one in words.pop("issuers")
        ]
        hook = words.pop("hook")
        return cls(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in words.items()}
            | {"sites": tuple(map(tuple, words["sites"]))},
            issuers=tuple(issuers),
            hook=DnsHook(**hook) if hook else None,
        )
