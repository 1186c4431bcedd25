# A Flask application with a WebSocket, through flask-sock; and the same below it, as Flask-SocketIO has it.

from __future__ import annotations

import os
from typing import Any

import simple_websocket
from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.get("/")
def home() -> str:
    return str(os.getpid())


@sock.route("/echo")
def echo(ws: Any) -> None:
    while (message := ws.receive()) != "enough":
        ws.send(message)


@sock.route("/broken")
def broken(ws: Any) -> None:
    raise SystemExit(f"after {ws.receive()}")


@sock.route("/quiet")
def quiet(ws: Any) -> None:
    while True:
        ws.receive()


@sock.route("/large")
def large(ws: Any) -> None:
    ws.send("x" * int(ws.receive()))
    ws.receive()


def below(environ: dict[str, Any], start_response: Any) -> Any:
    """Take the paths below /raise/: leave by the error that Werkzeug's server takes for a farewell."""
    path = environ["PATH_INFO"]
    if not path.startswith("/raise/"):
        return flask(environ, start_response)
    if path == "/raise/early":
        raise ConnectionError("early")
    server = simple_websocket.Server(environ)
    server.send(server.receive())
    raise ConnectionRefusedError("of another server") if path == "/raise/refused" else ConnectionError


flask = app.wsgi_app
app.wsgi_app = below  # type: ignore[method-assign]
