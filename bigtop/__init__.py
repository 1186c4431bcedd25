"""Bigtop: an application server for WSGI and ASGI with a process and socket manager underneath."""

__version__ = "0.1.0"
