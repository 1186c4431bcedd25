# CircusPlugin: the base class of Circus' plugins, with Circus' arguments, attributes and methods.
#
# Rules: unlike Circus', call() has an end, and its reply is that of this very call. A class may annotate its
# options as a plugin of Bigtop does; then they are read from its configuration, which holds texts.

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import zmq

from bigtop.log import logger
from bigtop.plugins.circus.client import CallError, cast_message, make_message
from bigtop.plugins.circus.conversions import to_bool, to_str
from bigtop.plugins.circus.loop import Loop
from bigtop.plugins.options import OptionError, options_of, read

log = logger("bigtop.circus")

PATIENCE: Final = 30.0  # seconds for a reply
_BATCH: Final = 100  # events, before others on the loop have a turn


class CircusPlugin:
    """Override handle_recv(), and handle_init() and handle_stop() if need be."""

    name = ""
    role: ClassVar[str] = "admin"  # what it asks for, if it is one of Bigtop's own

    def __init__(
        self,
        endpoint: str,
        pubsub_endpoint: str,
        check_delay: float,
        ssh_server: str | None = None,
        **config: Any,
    ) -> None:
        self.daemon = True
        self.config = config
        self.active = to_bool(config.get("active", True))
        self.endpoint = endpoint
        self.pubsub_endpoint = pubsub_endpoint
        self.check_delay = check_delay
        self.ssh_server = ssh_server
        self.running = False
        self.loop = Loop()
        vars(self).update(self._options(config))

    @classmethod
    def _options(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        known = options_of(cls, CircusPlugin)
        values, problems = read(
            known, {name: (str(value),) for name, value in config.items() if name in known}
        )
        if problems:
            raise problems[0]
        return values

    @classmethod
    def lacking(cls, values: Mapping[str, Any]) -> list[OptionError]:
        """Return what is wrong with options that are right one by one."""
        return []

    def initialize(self) -> None:
        """Connect."""
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.client = self.context.socket(zmq.DEALER)
        self.client.setsockopt(zmq.IDENTITY, uuid.uuid4().hex.encode())
        self.client.setsockopt(zmq.LINGER, 1000)
        self.client.connect(self.endpoint)
        self.sub_socket = self.context.socket(zmq.SUB)
        self.sub_socket.setsockopt(zmq.LINGER, 0)
        self.sub_socket.setsockopt(zmq.SUBSCRIBE, b"watcher.")
        self.sub_socket.connect(self.pubsub_endpoint)
        self.loop.add_handler(self.sub_socket.getsockopt(zmq.FD), self._hear, self.loop.READ)
        self.loop.add_callback(self._hear)

    def start(self) -> None:
        """Run until stop()."""
        self.loop.make_current()
        if not self.active:
            raise ValueError("Will not start an inactive plugin")
        self.handle_init()
        self.initialize()
        self.running = True
        try:
            self.loop.start()
        finally:
            self.loop.remove_handler(self.sub_socket.getsockopt(zmq.FD))
            self.context.destroy(linger=1000)

    def stop(self) -> None:
        if not self.running:
            self.loop.close()
            return
        self.running = False
        try:
            self.handle_stop()
        finally:
            self.loop.stop()

    def _hear(self, *_: object) -> None:
        # The descriptor says once that there is something: read until there is nothing.
        for _turn in range(_BATCH):
            try:
                frames = self.sub_socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except zmq.ZMQError:  # closed meanwhile
                return
            self._handle(frames)
        self.loop.add_callback(self._hear)

    def _handle(self, frames: list[bytes]) -> None:
        try:
            self.handle_recv(frames)
        except Exception as error:  # of a plugin: the next event may go well
            log.error("%s: handle_recv() failed", type(self).__name__, exc_info=error)

    # ---- what a plugin may do

    def call(self, command: str, **props: Any) -> Any:
        """Give a command, wait, and return the whole reply, be it an error. CallError: none came."""
        message = make_message(command, **props)
        self.client.send(json.dumps(message).encode())
        while self.client.poll(int(PATIENCE * 1000)):
            reply = json.loads(self.client.recv())
            if reply.get("id") == message["id"]:
                return reply
        raise CallError(f"no reply to {command} within {PATIENCE:g} s")

    def cast(self, command: str, **props: Any) -> None:
        """Give a command that is not replied to."""
        self.client.send(json.dumps(cast_message(command, **props)).encode())

    # ---- what it may say

    def handle_recv(self, data: Any) -> None:
        """Take in an event, a topic and a message."""
        raise NotImplementedError

    def handle_init(self) -> None:
        """Begin."""

    def handle_stop(self) -> None:
        """End."""

    @staticmethod
    def split_data(data: Any) -> tuple[str, str, Any]:
        """Return watcher, event and message of what handle_recv() is given."""
        topic, message = data
        _, watcher, action, *_ = to_str(topic).split(".")
        return watcher, action, message

    @staticmethod
    def load_message(msg: Any) -> Any:
        return json.loads(msg)
