# The basic application between a server and a checker of PEP 3333, which complains about both sides.

from __future__ import annotations

from wsgiref.validate import validator

from webtest.lint import middleware

from tests.apps.wsgi_basic import app

validated = validator(app)
linted = middleware(app)
