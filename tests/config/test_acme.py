# What --tls auto stands for, and what it cannot be had with.

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from bigtop.config.file import daemon
from bigtop.config.serve import options as o
from bigtop.config.serve import serve, site_preflight
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import Given, ServeConfig
from bigtop.config.serve.specs import acme, tls
from bigtop.errors import ConfigError
from bigtop.keeper.issuers import LETS_ENCRYPT
from tests.config.files import written
from tests.support.auto import kept
from tests.support.certificates import made

AUTO = "auto:a.example.com,www.example.com"
HTTPS = ("http-01", "tls-alpn-01")


def configured(*sources: str, **said: str) -> ServeConfig:
    layer = {name: Given((text,), name) for name, text in said.items()}
    return serve.configure("m:a", {}, {**layer, "tls": Given(sources or (AUTO,), "tls")})


def addresses(config: ServeConfig) -> list[tuple[str, int, bool]]:
    return [(bind.host, bind.port, bind.tls) for bind in serve.spec(config).binds]


def checked(folder: Path, *sources: str, **said: str) -> None:
    (folder / "m.py").write_text("a = print\n")
    (folder / "m.py").chmod(0o644)
    said = {"chdir": str(folder), "tls_storage": str(folder / "tls"), "tls_storage_ephemeral": "on", **said}
    config = configured(*sources, **said)
    site_preflight.check(config, serve.spec(config))


def test_ports_and_redirects_go_without_saying() -> None:
    config = configured()
    assert addresses(config) == [("", 443, True), ("", 80, False)]
    assert serve.spec(config).options.tls.redirect == ("a.example.com", "www.example.com")
    assert config.settings[o.BIND.name].given.origin == acme.BY_AUTO
    one = configured(bind="[2001:db8::1]:443")
    assert addresses(one) == [("2001:db8::1", 443, True), ("2001:db8::1", 80, False)]
    other = configured(bind=":8443", http_bind=":8080", https_redirect="off")
    assert addresses(other) == [("", 8443, True), ("", 8080, False)]
    assert serve.spec(other).options.tls.redirect == ()
    assert configured("files:/c").settings[o.BIND.name].given.origin == "default"


def test_what_is_proved_how() -> None:
    def kinds(**said: str) -> tuple[str, ...]:
        found = serve.spec(configured(**said)).tls.acme
        assert found is not None
        return found.kinds

    assert kinds() == HTTPS
    assert kinds(http_bind="off") == ("tls-alpn-01",)
    assert kinds(acme_dns_hook="/bin/true") == ("dns-01",)


def test_the_staging_is_that_of_lets_encrypt() -> None:
    for said, has_staging in (({}, True), ({"acme_directory": "https://ca.example/"}, False)):
        found = serve.spec(configured(**said)).tls.acme
        assert found is not None
        assert bool(found.issuers[0].staging) is has_staging


@pytest.mark.parametrize(
    ("environ", "uid", "folder"),
    [
        ({}, 0, "/var/lib/bigtop/certificates"),
        ({"STATE_DIRECTORY": "/var/lib/shop:/x"}, 0, "/var/lib/shop/certificates"),
        ({"XDG_DATA_HOME": "/data"}, 1000, "/data/bigtop/certificates"),
        ({"XDG_DATA_HOME": "data"}, 1000, os.path.expanduser("~/.local/share/bigtop/certificates")),
    ],
)
def test_where_they_are_kept(environ: dict[str, str], uid: int, folder: str) -> None:
    assert acme.default_storage(environ, uid) == folder


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    checked(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m.py"]


def test_a_check_tells_how_much_time_is_left(tmp_path: Path) -> None:
    found = serve.spec(configured(tls_storage=str(tmp_path / "tls"))).tls
    place = f"{LETS_ENCRYPT}: a.example.com www.example.com; kept in {tmp_path}/tls; "
    assert tls.described(found, time.time()) == [f"certificate of {place}none is there yet"]
    kept(tmp_path / "tls", 80.5, "a.example.com")
    assert tls.described(found, time.time()) == [f"certificate of {place}80 days left"]


@pytest.mark.parametrize(
    ("source", "said", "words"),
    [
        ("auto:*.example.com", {}, r"tls: auto: \*.example.com: a CA certifies that by the DNS alone"),
        ("auto:localhost", {}, "tls: auto: 'localhost' is no name of a host"),
        ("auto:shop.internal", {}, "tls: auto: shop.internal: no public CA certifies names below .internal"),
        ("auto:10.0.0.1", {}, "tls: auto: 10.0.0.1: no public CA certifies an address that is not public"),
        ("auto:8.8.8.8", {}, "tls: auto: 8.8.8.8: Let's Encrypt certifies addresses with --acme-profile"),
        ("auto:a.example.com,a.example.com", {}, "tls: auto: a certificate is for some names, each once"),
        (AUTO, {"bind": ":8443"}, "bind: a CA comes to port 80 or 443, and with --tls auto nothing would"),
        (AUTO, {"bind": "unix:x"}, "bind: a CA comes to port 80 or 443"),
        (AUTO, {"acme_root_cert": "none.pem"}, "acme_root_cert: .*none.pem: No such file"),
        (AUTO, {"acme_eab": "id,none"}, "acme_eab: .*none: No such file"),
        (AUTO, {"acme_root_cert": "m.py"}, r"acme_root_cert: .*m.py: it has no certificate \(PEM\)"),
        (AUTO, {"acme_eab": "id,m.py"}, r"acme_eab: .*m.py: others may look into it \(mode 0644\)"),
        (AUTO, {"acme_dns_hook": "m.py"}, "acme_dns_hook: .*m.py: is no program"),
        (AUTO, {"tls_storage": "m.py"}, "tls_storage: .*m.py: is a link or no folder"),
        (AUTO, {"tls_storage": "m.py/x"}, "tls_storage: .*m.py/x: "),
        (AUTO, {"tls_storage": "open"}, r"tls_storage: .*open: others may look into it \(mode 0755\)"),
        (AUTO, {"name": "keeper"}, "name: keeper is the process that gets certificates: choose another"),
        (AUTO, {"proxy_protocol": "v2"}, "--tls: cannot be had with --proxy-protocol"),
        (AUTO, {"backend": "waitress"}, "does not support TLS"),
    ],
)
def test_what_cannot_be(source: str, said: dict[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    if "tls_storage" in said:
        said = {**said, "tls_storage": str(tmp_path / said["tls_storage"])}
    with pytest.raises(ConfigError, match=words):
        checked(tmp_path, source, **said)


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs is here")
def test_storage_that_would_be_gone_is_refused(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        for storage in (memory, f"{memory}/below/it"):
            with pytest.raises(
                ConfigError, match=f"tls_storage: {storage}: on tmpfs, .* --tls-storage-ephemeral"
            ):
                checked(tmp_path, tls_storage=storage, tls_storage_ephemeral="off")
            checked(tmp_path, tls_storage=storage)


def test_a_ca_of_ones_own_certifies_local_names(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(made("ca.internal").certificate)
    mine = {"acme_directory": "https://ca.internal/", "acme_root_cert": "root.pem"}
    checked(tmp_path, "auto:shop.internal", "auto:10.0.0.1", **mine)


@pytest.mark.parametrize("option", acme.ABOUT, ids=lambda option: option.name)
def test_what_does_nothing_without(option: Option[object]) -> None:
    texts = {o.ACME_DIRECTORY: "https://a.example/", o.ACME_FALLBACK: "https://a.example/"}
    texts |= {o.ACME_EAB: "a,b", o.ACME_FALLBACK_EAB: "a,b", o.ACME_EMAIL: "a@b", o.TLS_KEEPER_USER: "0"}
    texts |= {o.ACME_DNS_WAIT: "1", o.TLS_STORAGE_EPHEMERAL: "on"}
    text = texts.get(option, "x")
    with pytest.raises(ConfigError, match=f"{option.name}: does nothing without --tls auto:NAMES"):
        serve.spec(configured("files:/c", **{option.name: text}))


def test_what_needs_another_option() -> None:
    with pytest.raises(ConfigError, match="acme_fallback_eab: does nothing without --acme-fallback"):
        serve.spec(configured(acme_fallback_eab="a,b"))
    with pytest.raises(ConfigError, match="acme_dns_wait: does nothing without --acme-dns-hook"):
        serve.spec(configured(acme_dns_wait="1"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start it as another user")
def test_the_application_is_to_read_no_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tls_keeper_user: 5 is whom the application runs as"):
        checked(tmp_path, user="5", group="5", tls_keeper_user="5")


# ---- files

APPS = """
[tls]
tls_storage = "{folder}/tls"
acme_email = "a@example.com"
hsts = "5m"
[app.one]
app = "m:a"
chdir = "{folder}"
tls = "auto:a.example.com"
[app.two]
app = "m:a"
chdir = "{folder}"
bind = ":8443"
"""


def described(folder: Path, text: str) -> daemon.DaemonSpec:
    (folder / "m.py").write_text("a = print\n")
    return daemon.load(written(folder, text.replace("{folder}", str(folder)), "x.toml"))


def test_what_is_written_once(tmp_path: Path) -> None:
    one, two = described(tmp_path, APPS).apps
    assert one.site.tls.acme is not None
    assert (one.site.tls.acme.storage, one.site.options.tls.hsts) == (f"{tmp_path}/tls", "max-age=300")
    assert [bind.port for bind in one.site.binds] == [443, 80]
    assert (two.site.tls.is_wanted, two.site.options.tls.hsts) == (False, "")
    more = 'tls = ["auto:b.example.com"]\nhttp_bind = ":8080"\nhsts = "9m"'
    one, two = described(tmp_path, APPS + more).apps
    assert one.site.tls.acme == two.site.tls.acme
    assert two.site.options.tls.hsts == "max-age=540"


def test_what_of_it_would_do_nothing_is_not_said(tmp_path: Path) -> None:
    text = APPS.replace("[tls]\n", '[tls]\ntls = "auto:a.example.com"\n')
    one, two = described(tmp_path, text + "tls = []").apps
    assert (one.site.tls.is_wanted, two.site.tls.is_wanted) == (True, False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            'tls = "auto:b.example.com"\nhttp_bind = ":8080"\nacme_email = "b@example.com"',
            r"x.toml:10: \[app:two\] acme_email: must be as in \[app:one\], for one process gets all of them",
        ),
        (
            'tls = "auto:b.example.com"\nhttp_bind = "off"',
            r"\[app:two\] http_bind: must be as in \[app:one\]",
        ),
        (
            'tls = "auto:a.example.com,b.example.com"\nhttp_bind = ":8080"',
            "tls: two certificates begin with a.example.com",
        ),
        ('[tls.x]\nhsts = "1m"', "x.toml:14: x cannot be a table here"),
        ('[app.keeper]\napp = "m:a"\nbind = ":9"', r"\[app:keeper\] has the name of the process that gets"),
    ],
)
def test_what_applications_cannot_say(more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        described(tmp_path, APPS + more)


def test_mistakes_of_the_section_are_told_there(tmp_path: Path) -> None:
    for wrong, words in (
        ('tls_min = "1.1"', "x.toml:3: tls_min: must be"),
        ('bind = ":1"', r"x.toml:3: \[tls\] has no key bind|x.toml:3: .*bind"),
        ('http_bind = ":1"', "x.toml:3: "),
    ):
        with pytest.raises(ConfigError, match=words):
            described(tmp_path, APPS.replace("[tls]\n", f"[tls]\n{wrong}\n"))
