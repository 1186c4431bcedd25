# Notify: tells people what happened, by mail, by a webhook, or in Slack's form.
#
# Rules: what happens within some seconds is one message. There are so many messages an hour and no more;
# what is not told then is counted, and the next message says so. What could not be sent is tried again.

from __future__ import annotations

import asyncio
import json
import smtplib
import socket
import time
import urllib.request
from collections.abc import Sequence
from email.message import EmailMessage
from http.client import HTTPException
from typing import Final, Literal

from bigtop.errors import one_line
from bigtop.plugins import topics
from bigtop.plugins.options import OptionError, option
from bigtop.plugins.plugin import Event, Plugin

MOST_LINES: Final = 50  # events of one message
_PATIENCE: Final = 20.0  # seconds for one that is sent
_WORTH_A_MESSAGE: Final = (
    *("*.died", "*.stuck", "*.gave_up", "*.spawn_failed", "*.degraded", "*.reload_failed", "*.hook_failure"),
    *("*.certificate_failed", "*.certificate_ends"),
)


class Notify(Plugin):
    """Tells people what happened: by mail, by a webhook, or in a channel of Slack."""

    to: tuple[str, ...] = option(
        help="who: mail:ADDRESS, https://..., or slack:https://... for a webhook of Slack's form",
        takes="PLACE",
    )
    events: tuple[str, ...] = option(_WORTH_A_MESSAGE, help="which events are worth a message")
    group: float = option(10.0, help="seconds whose events are one message", minimum=0.05, takes="SECONDS")
    most_per_hour: int = option(20, help="messages; what is beyond is told in the next one", minimum=1)
    subject: str = option("", help="what messages begin with; without: the name of the host")
    smtp: str = option("localhost:25", help="the mail server", takes="HOST:PORT")
    smtp_security: Literal["none", "starttls", "tls"] = option("none", help="how it is spoken to")
    smtp_user: str = option("", help="who logs in there")
    smtp_password_file: str = option("", help="the file with the password", takes="FILE")
    mail_from: str = option("bigtop@localhost", help="who sends", takes="ADDRESS")

    async def check(self) -> None:
        try:
            self.topics = topics.checked(self.events)
        except ValueError as error:
            raise OptionError("events", str(error)) from None
        if not self.to:
            raise OptionError("to", "is needed: who is told?")
        for place in self.to:
            url = place.removeprefix("slack:")
            if not (url.startswith(("http://", "https://")) or (place.startswith("mail:") and "@" in place)):
                raise OptionError(
                    "to", f"must be mail:ADDRESS, https://... or slack:https://..., got {place!r}"
                )
        if not self.smtp.rpartition(":")[2].isdigit():
            raise OptionError("smtp", f"must be HOST:PORT, got {self.smtp!r}")
        if self.smtp_password_file:
            try:
                self._password()
            except OSError as error:
                raise OptionError("smtp_password_file", f"cannot be read: {error.strerror}") from None

    async def start(self) -> None:
        self._untold: list[Event] = []
        self._left_out = 0  # events that no message told of
        self._may_send = self.most_per_hour
        self._trouble: dict[str, str] = {}  # by place: what the log was told last
        self._late: dict[str, list[Event]] = {place: [] for place in self.to}
        self.every(self.group, self.send)
        self.every(3600 / self.most_per_hour, self.refill)

    async def on_event(self, event: Event) -> None:
        if len(self._untold) < MOST_LINES:
            self._untold.append(event)
        else:
            self._left_out += 1

    async def stop(self) -> None:
        await self.send()

    def refill(self) -> None:
        self._may_send = min(self.most_per_hour, self._may_send + 1)

    async def send(self) -> None:
        """Send what has happened since the last time."""
        if not (self._untold or any(self._late.values())):
            return
        if not self._may_send:
            self._left_out += len(self._untold)
            self._untold = []
            return
        self._may_send -= 1
        events, self._untold = self._untold, []
        left_out, self._left_out = self._left_out, 0
        for place in self.to:
            due = [*self._late[place], *events][-MOST_LINES:]
            if due:
                await self._send_to(place, due, left_out)

    async def _send_to(self, place: str, due: list[Event], left_out: int) -> None:
        try:
            await asyncio.to_thread(self._deliver, place, due, left_out)
        except (OSError, HTTPException, smtplib.SMTPException, ValueError) as error:
            self._late[place] = due
            if self._trouble.get(place) != str(error):
                self._trouble[place] = str(error)
                # A webhook's address is as good as its password.
                self.log.warning(
                    "%s: cannot be told, and is tried again: %s", place.partition("//")[0], error
                )
            return
        self._late[place] = []
        self._trouble.pop(place, None)

    # ---- in a thread

    def _deliver(self, place: str, events: Sequence[Event], left_out: int) -> None:
        lines = [line(event) for event in events]
        if left_out:
            lines.append(f"and {left_out} more events that were not told")
        title = f"{self.subject or socket.gethostname()}: {lines[0]}" + (
            f" (+{len(lines) - 1})" if lines[1:] else ""
        )
        if place.startswith("mail:"):
            self._mail(place.removeprefix("mail:"), title, lines)
        elif place.startswith("slack:"):
            _post(place.removeprefix("slack:"), {"text": "\n".join([f"*{title}*", *lines])})
        else:
            told = [{"watcher": each.watcher, "event": each.kind, **each.payload} for each in events]
            _post(place, {"title": title, "text": "\n".join(lines), "events": told, "left_out": left_out})

    def _mail(self, address: str, title: str, lines: Sequence[str]) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.mail_from, address, title
        message.set_content("\n".join(lines) + "\n")
        host, _, port = self.smtp.rpartition(":")
        kind = smtplib.SMTP_SSL if self.smtp_security == "tls" else smtplib.SMTP
        with kind(host, int(port), timeout=_PATIENCE) as server:
            if self.smtp_security == "starttls":
                server.starttls()
            if self.smtp_user:
                server.login(self.smtp_user, self._password())
            server.send_message(message)

    def _password(self) -> str:
        with open(self.smtp_password_file, encoding="utf-8") as file:
            return file.read().strip()


def line(event: Event) -> str:
    """Return an event in a line for people."""
    when = time.strftime("%H:%M:%S", time.localtime(event.time))
    facts = ", ".join(
        f"{name} {value}" for name, value in event.payload.items() if name != "time" and value != ""
    )
    return one_line(f"{when} {event.watcher or 'bigtop'} {event.kind}" + (f" ({facts})" if facts else ""))


def _post(url: str, message: object) -> None:
    request = urllib.request.Request(  # noqa: S310 - check() looked at the scheme
        url, json.dumps(message).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
        answer.read(1 << 16)
