# Renewal information of a certificate, asked for when it is time and kept in the storage.

from __future__ import annotations

import logging

from bigtop.errors import BigtopError
from bigtop.keeper.acme import renewal_info, resources
from bigtop.keeper.acme.messages import Answered
from bigtop.keeper.acme.renewal_info import RenewalInfo
from bigtop.keeper.acme.resources import MalformedError
from bigtop.keeper.certificates import Pair
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.ordering.https import Https
from bigtop.keeper.records import Records
from bigtop.log import logger as get_logger
from bigtop.record import Record, as_dict

logger = get_logger("bigtop.keeper")
_FOLDER = "renewal"


class Known(Record):
    """What is known of a certificate: its name with the CA, and its window, if that was told."""

    name: str
    ask_again: float = 0.0
    info: RenewalInfo | None = None


def known(records: Records, title: str, pair: Pair) -> Known:
    """Return what is kept of this very certificate."""
    name = renewal_info.identifier(pair.leaf)
    words = records.notes(_FOLDER, title) or {}
    if words.get("name") != name:
        return Known(name)
    match words:
        case {"ask_again": float() | int() as again, "info": None}:
            return Known(name, float(again))
        case {
            "ask_again": float() | int() as again,
            "info": {"start": float() | int() as start, "end": float() | int() as end},
        }:
            return Known(name, float(again), RenewalInfo(float(start), float(end), float(again)))
    return Known(name)


def asked(records: Records, title: str, pair: Pair, issuer: Issuer, directory: str, now: float) -> Known:
    """Ask the CA, and keep what it says; takes seconds. A CA that has no such thing is asked again later."""
    before = known(records, title, pair)
    if not before.name:
        return before
    try:
        found = _ask(before, issuer, directory, now)
    except (BigtopError, MalformedError) as error:
        logger.log(logging.DEBUG, "%s: no renewal information: %s", title, error)
        found = Known(before.name, renewal_info.not_known({}, now), before.info)
    records.keep_notes(_FOLDER, title, as_dict(found))
    return found


def _ask(before: Known, issuer: Issuer, directory: str, now: float) -> Known:
    https = Https(issuer.root_cert)
    try:
        answer = https.ask("GET", directory)
        if not isinstance(answer, Answered) or answer.status != 200:
            raise MalformedError("the CA cannot be asked")
        place = resources.directory(answer.body).renewal_info
        if not place:
            return Known(before.name, renewal_info.not_known(answer.fields, now))
        answer = https.ask("GET", f"{place.rstrip('/')}/{before.name}")
        if not isinstance(answer, Answered) or answer.status != 200:
            raise MalformedError("the CA has none of this certificate")
        info = renewal_info.read(answer.body, answer.fields, now)
        return Known(before.name, info.ask_again, info)
    finally:
        https.close()
