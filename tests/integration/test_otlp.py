# Metrics that are sent to a collector of OpenTelemetry, which reads them with OpenTelemetry's own classes.

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import ROOT, Site, until
from tests.support.stack import Stack, free_port

service = pytest.importorskip(
    "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", reason="pip install 'bigtop[otlp]'"
)
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'bigtop[otlp]'")

BASIC = "tests.apps.wsgi_basic:app"
OFTEN = {"OTEL_METRIC_EXPORT_INTERVAL": "100", "OTEL_SERVICE_NAME": "shop-service"}


class Collector:
    """What was sent last, by name of the metric and its labels."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.points: dict[tuple[str, ...], Any] = {}
        self.services: set[str] = set()
        self.paths: set[str] = set()
        self.units: dict[str, str] = {}

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        for resource in service.ExportMetricsServiceRequest.FromString(body).resource_metrics:
            names = [
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            ]
            self.services.update(names)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.units[metric.name] = metric.unit
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        labels = sorted(one.value.string_value for one in point.attributes)
                        self.points[(metric.name, *labels)] = point


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        found = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


ANSWERED = ("bigtop.requests", "2xx", "shop")


def test_what_a_site_counts_arrives_with_the_last_of_it() -> None:
    with collector() as there:
        words = ("--otlp-endpoint", f"http://127.0.0.1:{there.port}", "--name", "shop")
        with Site(BASIC, *words, env=OFTEN) as site:
            site.get("/")
            until(lambda: ANSWERED in there.points and there.points[ANSWERED].as_int == 1, "the request")
            until(lambda: ("bigtop.memory", "rss", "shop") in there.points, "the memory")
            for _ in range(3):
                site.get("/")
            assert site.stop() == 0
        assert there.points[ANSWERED].as_int == 4
    duration = there.points["http.server.request.duration", "shop"]
    assert (duration.count, sum(duration.bucket_counts)) == (4, 4)
    assert duration.start_time_unix_nano < duration.time_unix_nano
    assert there.units["http.server.request.duration"] == "s"
    assert there.services == {"shop-service"}
    assert there.paths == {"/v1/metrics"}


def test_a_file_says_where_to() -> None:
    with collector() as there:
        text = f"""
[circus]
endpoint = "ipc://{{folder}}/ctl"
[stats]
otlp_endpoint = "http://127.0.0.1:{there.port}/own/path"
[watcher.beside]
cmd = "sleep 1000"
"""
        with Stack(text, env=OFTEN):
            until(lambda: ("bigtop.process_starts", "beside") in there.points, "the start of a process")
        assert there.paths == {"/own/path"}


def test_a_collector_that_is_not_there_is_told_of_once_and_stops_nothing() -> None:
    port = free_port()
    words = ("--otlp-endpoint", f"http://127.0.0.1:{port}")
    quick = {**OFTEN, "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "0.2"}
    with Site(BASIC, *words, env=quick) as site:
        line = f"metrics do not reach http://127.0.0.1:{port}/v1/metrics: "
        site.wait_for(line)
        assert site.get("/")
        with collector(port) as there:
            until(lambda: there.points, "what is sent when it is there")
            site.wait_for(f"metrics are sent to http://127.0.0.1:{port}/v1/metrics")
        assert "Traceback" not in site.log()
        assert site.stop() == 0


@pytest.mark.parametrize("text", ["127.0.0.1:4318", "http://", "grpc://a:4317", "http://a b"])
def test_what_is_no_url_is_refused(text: str) -> None:
    with Site(BASIC, "--otlp-endpoint", text).attempt() as site:
        assert site.wait() != 0
        assert "--otlp-endpoint: must be a URL such as http://127.0.0.1:4318" in site.log()


def test_where_the_exporter_is_not_installed_check_and_run_say_so(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text("")  # a package that has no exporter
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    file = tmp_path / "x.toml"
    file.write_text('[stats]\notlp_endpoint = "http://a:1"\n[watcher.one]\ncmd = "sleep 1000"\n')
    for words in (
        ["serve", "--otlp-endpoint", "http://a:1", BASIC],
        ["serve", "--check-config", "--otlp-endpoint", "http://a:1", BASIC],
        ["check", str(file)],
        ["run", str(file)],
    ):
        command = [sys.executable, "-m", "bigtop", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode != 0
        assert "needs OpenTelemetry's exporter: pip install 'bigtop[otlp]'" in done.stderr + done.stdout
