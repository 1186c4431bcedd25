# Clients with Circus' words, for plugins that bring code of their own.

from __future__ import annotations

import json
import uuid
from typing import Any

import zmq

from bigtop.plugins.circus.conversions import DEFAULT_ENDPOINT_DEALER


class CallError(Exception):
    """No reply came."""


def make_message(command: str, **props: Any) -> dict[str, Any]:
    """Return a command as it goes over the wire."""
    return {"id": uuid.uuid4().hex, "command": command, "properties": props}


def cast_message(command: str, **props: Any) -> dict[str, Any]:
    """Return a command that is not replied to."""
    return {"id": uuid.uuid4().hex, "command": command, "properties": props, "msg_type": "cast"}


def make_json(command: str, **props: Any) -> bytes:
    return json.dumps(make_message(command, **props)).encode()


class CircusClient:
    """Calls, one after the other; `timeout` in seconds."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        endpoint: str = DEFAULT_ENDPOINT_DEALER,
        timeout: float = 5.0,
    ) -> None:
        self._own = context is None
        self.context = context or zmq.Context()
        self.endpoint = endpoint
        self.timeout = timeout
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(endpoint)

    def stop(self) -> None:
        self.socket.close()
        if self._own:
            self.context.destroy(linger=0)

    def send_message(self, command: str, **props: Any) -> Any:
        return self.call(make_message(command, **props))

    def call(self, cmd: Any) -> Any:
        """Give a command, a mapping or its JSON; return the reply."""
        message = cmd if isinstance(cmd, dict) else json.loads(cmd)
        self.socket.send(json.dumps(message).encode())
        while self.socket.poll(int(self.timeout * 1000)):
            reply = json.loads(self.socket.recv())
            if reply.get("id") in (message.get("id"), None):
                return reply
        raise CallError("Timed out.")
