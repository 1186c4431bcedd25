# A Flask application, for sites on every WSGI backend.

from __future__ import annotations

from flask import Flask, request

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"Hello, {name}!"


@app.get("/form")
def form() -> str:
    return request.args["a"]
