# Sections of paths in a file for `bigtop run`, as clients see them: mounted applications, a changed file.

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from bigtop.system import passwords
from tests.http.test_gates import SHA512
from tests.support.site import until
from tests.support.stack import Stack
from tests.support.wire import Answer, Client

FILE = """\
[app.site]
app = "tests.apps.asgi_basic:app"
mount = ["/wsgi=tests.apps.wsgi_basic:app"]
bind = ["127.0.0.1:0"]
workers = 2

[app.site.paths."/scope/"]
basic_auth = "{folder}/users"

[app.site.paths."/wsgi/"]
basic_auth = "{folder}/users"

[app.site.paths."/wsgi/hello"]
deny = "*"
"""


def test_a_file_says_who_is_let_in_where() -> None:
    if problem := passwords.lacking((SHA512,)):
        pytest.skip(problem)
    stack = Stack(FILE)
    (stack.folder / "users").write_text(f"carl:{SHA512}\n")
    carl = "Authorization: Basic " + b64encode(b"carl:secret").decode()
    with stack:
        stack.wait_for("site: started")

        def asked(path: str, *fields: str) -> Answer:
            with Client(("127.0.0.1", stack.port)) as client:
                return client.get(path, *fields)

        assert asked("/").status == 200
        assert [asked(path).status for path in ("/scope/", "/wsgi/environ")] == [401, 401]
        assert json.loads(asked("/scope/", carl).body)["bigtop.user"] == "carl"
        told = json.loads(asked("/wsgi/environ", carl).body)
        assert (told["REMOTE_USER"], told["AUTH_TYPE"]) == ("carl", "Basic")
        assert asked("/wsgi/hello", carl).status == 403
        stack.write(FILE.replace('deny = "*"', 'basic_auth = "off"'))
        stack.ctl("reloadconfig")
        until(lambda: asked("/wsgi/hello").status == 200, "the workers of the new file")
        assert asked("/wsgi/environ").status == 401
