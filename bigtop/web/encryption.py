# Encryption of a console: its certificate, as the ASGI server wants it.

from __future__ import annotations

from bigtop.backends.native.transport.encryption import Encryption
from bigtop.backends.native.transport.tls_contexts import TlsContexts
from bigtop.backends.serve_options import TlsPolicy
from bigtop.errors import ConfigError
from bigtop.ipc.keyring import KeyPair, Keyring


def contexts(certfile: str, keyfile: str) -> TlsContexts:
    """Return how to serve with these files. ConfigError: they cannot be read, or not be served with."""
    texts = []
    for path in (certfile, keyfile or certfile):
        try:
            with open(path) as file:
                texts.append(file.read())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
    return TlsContexts(Keyring((KeyPair(texts[0], texts[1], certfile),)), TlsPolicy())


def encryption(certfile: str, keyfile: str) -> Encryption:
    """Return that of the only listener."""
    return Encryption(contexts(certfile, keyfile), frozenset({0}))
