# Certificates of one application, as its supervisor has them: read once, sealed, and passed on unread.
#
# Rule: what was read is kept in the sealed file alone, which fork servers and workers inherit, whatever user
# they become. The secret for session tickets lasts as long as the supervisor, so that sessions are resumed by
# workers of every generation.

from __future__ import annotations

import os
import secrets

from bigtop.config.serve import tls
from bigtop.config.serve.serve import ServeSpec


class Certificates:
    """`fd` is the descriptor of the sealed file, None where there are no certificates. ConfigError: there
    should be some, and they cannot be served with."""

    def __init__(self, spec: ServeSpec) -> None:
        self._secret = secrets.token_hex(32)
        self.fd: int | None = None
        self.read(spec)

    def read(self, spec: ServeSpec) -> None:
        """Take what the files hold now, for workers to come. ConfigError: it stays as it was."""
        before = self.fd
        if spec.tls:
            self.fd = tls.keyring(spec.tls, spec.options.tls, self._secret).seal()
        else:
            self.fd = None
        if before is not None:
            os.close(before)

    @property
    def fds(self) -> tuple[int, ...]:
        return () if self.fd is None else (self.fd,)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
