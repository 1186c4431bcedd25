"""The loader, over the applications in tests/apps/loader_*.py and files written for one test."""

import asyncio
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import AppError
from bigtop.loader import load

WSGI = "tests.apps.loader_wsgi"
ASGI = "tests.apps.loader_asgi"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write modules into a fresh directory on sys.path; forget them afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write_module(path, text=""):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    yield write_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def failure(target, **options) -> AppError:
    with pytest.raises(AppError) as caught:
        load(target, **options)
    return caught.value


class TestInterface:
    @pytest.mark.parametrize(
        "name",
        ["app", "with_defaults", "wrapped", "middleware", "method", "bound", "PerRequest",
         "site.inner.wsgi", "create_app()"],
    )  # fmt: skip
    def test_wsgi(self, name):
        loaded = load(f"{WSGI}:{name}")
        assert (loaded.interface, loaded.target) == ("wsgi", f"{WSGI}:{name}")

    @pytest.mark.parametrize(
        "name",
        ["app", "forwards", "scope_first", "wrapped", "opaque", "instance", "per_instance", "partial",
         "partial_instance", "create_app()"],
    )  # fmt: skip
    def test_asgi(self, name):
        assert load(f"{ASGI}:{name}").interface == "asgi"

    @pytest.mark.parametrize("name", ["Two", "two"])
    @pytest.mark.parametrize("interface", [None, "asgi"])
    def test_asgi_2_is_called_like_asgi_3(self, name, interface):
        loaded = load(f"{ASGI}:{name}", interface=interface)
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(loaded.app({"type": "http"}, None, send))
        assert (loaded.interface, sent) == ("asgi", [{"type": "two", "scope": {"type": "http"}}])

    def test_an_override_wins(self):
        assert load(f"{WSGI}:app", interface="asgi").interface == "asgi"
        assert load(f"{WSGI}:needs_arguments", interface="wsgi").interface == "wsgi"

    def test_frameworks(self, write):
        write(
            "loader_frameworks.py",
            """
            from django.core.handlers.asgi import ASGIHandler
            from django.core.handlers.wsgi import WSGIHandler
            # Their constructors want settings; what they are shows without.
            dj_asgi = ASGIHandler.__new__(ASGIHandler)
            dj_wsgi = WSGIHandler.__new__(WSGIHandler)
            """,
        )
        assert load("loader_frameworks:dj_asgi").interface == "asgi"
        assert load("loader_frameworks:dj_wsgi").interface == "wsgi"

    def test_starlette(self, write):
        pytest.importorskip("starlette")
        write("loader_star.py", "from starlette.applications import Starlette\napp = Starlette()")
        assert load("loader_star").interface == "asgi"


class TestTargets:
    def test_defaults_in_order(self):
        assert load(ASGI).target == f"{ASGI}:application"
        assert load(WSGI).target == f"{WSGI}:app"

    def test_literal_arguments(self):
        made = load(f"{WSGI}:create_app('shop', debug=True, extra=[1, {{'a': -2}}])").app
        assert made({}, None) == ["shop", True, [1, {"a": -2}]]

    def test_factory_flag(self):
        loaded = load(f"{WSGI}:create_app", factory=True)
        assert loaded.app({}, None) == ["default", False, ()]
        assert loaded.target == f"{WSGI}:create_app()"

    def test_factory_flag_with_arguments_written_out(self):
        assert load(f"{WSGI}:create_app('x')", factory=True).app({}, None)[0] == "x"

    @pytest.mark.parametrize("attr", ["", ":app"])
    def test_a_file(self, write, monkeypatch, attr):
        file = write("sub/loader_file.py", "import loader_sibling\ndef app(environ, start_response): ...")
        write("sub/loader_sibling.py")
        monkeypatch.setattr(sys, "path", list(sys.path))
        assert load(f"{file}{attr}").target == "loader_file:app"

    def test_a_file_in_a_package_keeps_its_full_name(self, write, monkeypatch):
        write("loader_pkg/__init__.py")
        write("loader_pkg/sub/__init__.py", "def app(environ, start_response): ...")
        file = write("loader_pkg/sub/wsgi.py", "from . import app")
        monkeypatch.chdir(file.parent.parent.parent)
        assert load("loader_pkg/sub/wsgi.py").target == "loader_pkg.sub.wsgi:app"
        assert load("loader_pkg/sub/__init__.py").target == "loader_pkg.sub:app"

    def test_a_file_whose_name_is_taken(self, write):
        file = write("other/json.py", "def app(environ, start_response): ...")
        message = str(failure(str(file)))
        assert "another module named json" in message
        assert "rename" in message

    def test_a_file_that_is_not_there(self, tmp_path):
        assert str(failure(f"{tmp_path}/no.py:app")) == f"there is no file {tmp_path}/no.py"

    def test_a_file_with_a_dot_in_its_name(self, write):
        assert "rename" in str(failure(str(write("my.app.py"))))

    @pytest.mark.parametrize("target", ["", ":app", "a b:app", "a..b:app", ".a:app", "a-b", "a.:x", "1a:b"])
    def test_bad_modules(self, target):
        assert repr(target) in str(failure(target))

    @pytest.mark.parametrize(
        "expression",
        ["1", "a b", "a[0]", "f(x)", "f(__import__('os'))", "f(**{})", "f()()", "f().x", "lambda: 0", "a;b",
         "(", "f(*[1])", "\0", "(" * 500],
    )  # fmt: skip
    def test_only_names_and_literal_calls(self, expression):
        error = failure(f"{WSGI}:{expression}")
        assert "is not understood" in str(error)
        assert error.traceback == ""

    @given(st.text(max_size=30))
    def test_any_expression_is_an_app_error_at_worst(self, text):
        try:
            load(f"{WSGI}:{text}")
        except AppError:
            return


class TestNotFound:
    """The application was never reached: no traceback, but what was tried and what was meant."""

    def test_a_module(self, write, tmp_path):
        write("loader_projekt.py")
        error = failure("loader_project:app")
        assert "there is no module loader_project; did you mean loader_projekt" in str(error)
        assert str(tmp_path) in str(error)
        assert error.traceback == ""

    def test_a_submodule(self, write):
        write("loader_pack/__init__.py")
        write("loader_pack/wsgi.py")
        error = failure("loader_pack.wsgy:app")
        assert str(error) == "there is no module loader_pack.wsgy; did you mean loader_pack.wsgi?"

    def test_the_package_of_a_submodule(self):
        error = failure("loader_nowhere.sub.wsgi:app")
        assert "no module loader_nowhere (wanted loader_nowhere.sub.wsgi)" in str(error)

    def test_a_dot_instead_of_the_colon(self):
        error = failure(f"{WSGI}.app")
        assert str(error).endswith(f"an attribute of that name: write {WSGI}:app")
        assert error.traceback == ""

    def test_a_submodule_of_what_is_no_package(self):
        assert str(failure(f"{WSGI}.nothing")) == f"there is no module {WSGI}.nothing"

    @pytest.mark.parametrize(
        ("path", "missing", "meant"),
        [("apq", "apq", "app"), ("sit.inner", "sit", "site"), ("site.iner.wsgi", "iner", "inner")],
    )
    def test_an_attribute(self, path, missing, meant):
        error = failure(f"{WSGI}:{path}")
        assert str(error).startswith(f"{WSGI}:{path}: there is no attribute '{missing}'; did you mean ")
        assert meant in str(error).partition("mean")[2]
        assert error.traceback == ""

    def test_no_default_name(self, write):
        write("loader_empty.py", "def appl(environ, start_response): ...")
        message = str(failure("loader_empty"))
        assert message == "module loader_empty has neither application nor app; did you mean appl?"


class TestNotAnApplication:
    def test_not_callable(self):
        assert "of type int, not callable" in str(failure(f"{WSGI}:not_callable"))

    def test_calling_what_cannot_be_called(self):
        assert "cannot be called" in str(failure(f"{WSGI}:not_callable()"))

    def test_a_factory_that_makes_nothing(self):
        assert "of type NoneType" in str(failure(f"{WSGI}:returns_nothing()"))

    @pytest.mark.parametrize("name", ["create_app", "needs_arguments", "Site"])
    def test_a_forgotten_factory_flag(self, name):
        assert f"add --factory or write '{WSGI}:{name}()'" in str(failure(f"{WSGI}:{name}"))

    def test_a_factory_of_a_factory(self, write):
        write("loader_twice.py", "def make():\n    def again(): ...\n    return again")
        message = str(failure("loader_twice:make()"))
        assert "takes neither (environ, start_response)" in message
        assert "--interface" in message
        assert "--factory" not in message


class TestApplicationFails:
    """The application's own traceback, from its first line on."""

    def test_an_exception(self, write):
        file = write("loader_bad.py", "def connect():\n    raise RuntimeError('no database')\nconnect()")
        error = failure("loader_bad:app")
        assert str(error) == "cannot import loader_bad: RuntimeError: no database"
        lines = error.traceback.splitlines()
        assert lines[:2] == [
            "Traceback (most recent call last):",
            f'  File "{file}", line 3, in <module>',
        ]
        assert lines[-1] == "RuntimeError: no database"
        assert "importlib" not in error.traceback
        assert "loader.py" not in error.traceback

    def test_a_missing_module_inside_the_application_is_its_own_failure(self, write):
        write("loader_needs.py", "import loader_not_installed")
        error = failure("loader_needs:app")
        assert str(error).startswith("cannot import loader_needs: ModuleNotFoundError: No module named")
        assert "import loader_not_installed" in error.traceback

    def test_the_same_through_import_module(self, write):
        write("loader_dynamic.py", "import importlib\nimportlib.import_module('loader_dynamic.nope')")
        error = failure("loader_dynamic.nope:app")
        assert "ModuleNotFoundError" in str(error)
        assert "line 2, in <module>" in error.traceback
        assert "importlib/__init__" not in error.traceback

    def test_a_chain_of_exceptions(self, write):
        write(
            "loader_chain.py",
            """
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("bad settings") from error
            """,
        )
        traceback = failure("loader_chain").traceback
        assert traceback.index("KeyError: 'key'") < traceback.index("ValueError: bad settings")

    def test_a_syntax_error_names_its_line(self, write):
        file = write("loader_syntax.py", "def app(:\n")
        error = failure("loader_syntax:app")
        assert "SyntaxError" in str(error)
        assert f'File "{file}", line 1' in error.traceback

    @pytest.mark.parametrize("code", ["import sys; sys.exit('bye')", "raise SystemExit('bye')"])
    def test_an_exit(self, write, code):
        write("loader_exit.py", code)
        error = failure("loader_exit:app")
        assert str(error) == "cannot import loader_exit: it called sys.exit('bye')"
        assert "SystemExit: bye" in error.traceback

    def test_an_interrupt_is_not_swallowed(self, write):
        write("loader_interrupt.py", "raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            load("loader_interrupt:app")

    def test_a_factory(self):
        error = failure(f"{WSGI}:failing_factory()")
        assert str(error) == f"{WSGI}:failing_factory() failed: RuntimeError: no database"
        assert error.traceback.splitlines()[1].endswith("in failing_factory")

    def test_a_factory_with_wrong_arguments(self):
        assert "missing 1 required positional argument: 'config'" in str(
            failure(f"{WSGI}:needs_arguments", factory=True)
        )

    def test_a_property(self):
        error = failure(f"{WSGI}:site.broken")
        assert "KeyError: 'no such key'" in str(error)
        assert "in broken" in error.traceback


@pytest.mark.case("A19")
class TestHidden:
    """An application that does not show what it speaks is refused, with what to write."""

    TEXT = "async def inner(scope, receive, send): ...\ndef app(*a):\n    return inner(*a)"

    def test_the_hint(self, write):
        write("loader_hidden.py", self.TEXT)
        assert str(failure("loader_hidden:app")) == (
            "loader_hidden:app does not show whether it takes (environ, start_response) or "
            "(scope, receive, send): say what it speaks with --interface wsgi or --interface asgi; "
            "if it makes the application, add --factory or write 'loader_hidden:app()'"
        )

    @pytest.mark.parametrize("interface", ["wsgi", "asgi"])
    def test_the_option_wins(self, write, interface):
        write("loader_hidden_app.py", self.TEXT)
        assert load("loader_hidden_app:app", interface=interface).interface == interface

    def test_asgi_2_that_does_not_show(self, write):
        write("loader_hidden_two.py", "from tests.apps.loader_asgi import Two\ndef app(*a): return Two(*a)")
        loaded = load("loader_hidden_two:app", interface="asgi2")
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(loaded.app({"type": "http"}, None, send))
        assert (loaded.interface, len(sent)) == ("asgi", 1)
