# A plugin as sites of Circus have them: it asks the control channel, and hears what happens to watchers.

from __future__ import annotations

from circus.plugins import CircusPlugin


class Reporter(CircusPlugin):
    """Writes the names of all watchers, then every event, into the file of its option."""

    name = "reporter"

    def handle_init(self) -> None:
        self.loop.call_later(0, self._begin)  # it has no connection yet

    def _begin(self) -> None:
        self._write("watchers " + ",".join(self.call("list")["watchers"]))

    def handle_recv(self, data: list[bytes]) -> None:
        watcher, action, _ = self.split_data(data)
        self._write(f"{watcher} {action}")

    def _write(self, line: str) -> None:
        with open(self.config["filename"], "a") as file:
            file.write(line + "\n")
