# Notices about certificates, among those of messages.py: what the world is told of them.

from __future__ import annotations

from bigtop.record import Record


class CertificateRenewed(Record):
    """There is another certificate for `names`, or a first one."""

    names: tuple[str, ...]


class CertificateFailed(Record):
    """No certificate was got for `names`; `hints` are what seems to be wrong, seen from here."""

    names: tuple[str, ...]
    reason: str
    hints: tuple[str, ...] = ()


class CertificateEnds(Record):
    """Less than a third of the time of a certificate is left, which is `days`."""

    names: tuple[str, ...]
    days: int


CertificateNotice = CertificateRenewed | CertificateFailed | CertificateEnds
