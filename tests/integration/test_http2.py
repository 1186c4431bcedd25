# HTTP/2 by `bigtop serve`: for clients that know nothing of us, and over reloads.

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.support.certificates import made, written
from tests.support.http2_client import Answer, Http2Client
from tests.support.site import DEADLINE, Site, until
from tests.support.tls_client import context

APP = "tests.apps.http2:app"


def needs(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program} (apt install {package})")
    return found


def told(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("certificates")
    words = ("--workers", "1", "--threads", "4", "--forwarded-allow-ips", "127.0.0.0/8")
    plain = ("--http-bind", "127.0.0.2:0")
    with Site(APP, "--tls", written(folder, made("localhost")), *words, *plain) as running:
        yield running


def plain_url(site: Site) -> str:
    return next(word for word in site.log().replace(",", " ").split() if word.startswith("http://"))


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_curl(site: Site, tls: bool) -> None:
    curl = needs("curl", "curl")
    words = ["--insecure", "--http2"] if tls else ["--http2-prior-knowledge"]
    url = site.url if tls else plain_url(site)
    shown = [curl, "--silent", "--show-error", "--max-time", "30", *words, "--write-out", " %{http_version}"]
    assert told(*shown, f"{url}/hello") == "hello\n 2"
    assert told(*shown, "--data", "word", f"{url}/echo") == "word 2"
    assert told(*shown, "--output", "/dev/null", f"{url}/big") == " 2"
    assert told(*shown, "--head", f"{url}/hello").startswith("HTTP/2 200")


def test_curl_may_ask_for_an_upgrade_in_vain(site: Site) -> None:
    curl = needs("curl", "curl")
    shown = [curl, "-sS", "--max-time", "30", "--http2", "--write-out", " %{http_version}"]
    assert told(*shown, f"{plain_url(site)}/hello") == "hello\n 1.1"


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_nghttp_and_h2load(site: Site, tls: bool) -> None:
    nghttp, h2load = needs("nghttp", "nghttp2-client"), needs("h2load", "nghttp2-client")
    url = site.url if tls else plain_url(site)
    shown = told(nghttp, "--no-verify-peer", "--verbose", "--null-out", f"{url}/hello", f"{url}/stream")
    assert shown.count(":status: 200") == 2
    assert "RST_STREAM" not in shown
    report = told(h2load, "-n", "500", "-c", "5", "-m", "20", f"{url}/hello")
    assert "500 succeeded, 0 failed, 0 errored, 0 timeout" in report


def test_httpx(site: Site) -> None:
    with httpx.Client(http2=True, verify=context()) as client:
        url = site.url.replace("127.0.0.1", "localhost")
        first = client.get(f"{url}/hello")
        assert (first.http_version, first.text) == ("HTTP/2", "hello\n")
        assert client.post(f"{url}/echo", content=b"b" * 300_000).content == b"b" * 300_000


def test_reloads_lose_no_request() -> None:
    """Clients heed GOAWAY: what comes behind it is asked for on a new connection. All else is answered."""
    asked, wrong = [0], []
    over = threading.Event()
    lock = threading.Lock()

    def ask(address: tuple[str, int]) -> None:
        while not over.is_set():
            with Http2Client(address) as client:
                while not client.goaways and not over.wait(0.01):
                    answers = await_all(client, [client.ask("/hello") for _ in range(10)])
                    with lock:
                        asked[0] += len(answers)
                        wrong.extend(answer for answer in answers if not is_right(answer))

    def await_all(client: Http2Client, streams: list[int]) -> list[Answer]:
        """A client that is slow may ask for some behind the second GOAWAY."""
        answers = {stream: client.answers[stream] for stream in streams}
        client.until(
            lambda: all(
                client.is_refused(stream) or answer.ended or answer.reset is not None
                for stream, answer in answers.items()
            )
        )
        return [answer for stream, answer in answers.items() if not client.is_refused(stream)]

    def is_right(answer: Answer) -> bool:
        return (answer.status, answer.body, answer.reset) == (200, b"hello\n", None)

    with Site(APP, "--workers", "2", "--threads", "2") as site:
        threads = [threading.Thread(target=ask, args=(("127.0.0.1", site.port),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for generation in (2, 3):
                before = asked[0]
                until(lambda before=before: asked[0] > before + 100, "requests")
                site.send(signal.SIGHUP)
                site.wait_for(f"reloaded, every worker is of generation {generation} now")
            before = asked[0]
            until(lambda: asked[0] > before + 100, "requests")
        finally:
            over.set()
            for thread in threads:
                thread.join(DEADLINE)
        assert wrong == []
        assert site.stop() == 0
