# A Flask application with a WebSocket, through flask-sock.

from __future__ import annotations

import os
from typing import Any

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
