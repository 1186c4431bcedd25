"""A test of the plugin: events are fed, time passes at will, and the commands that it gave are looked at."""

from pathlib import Path

from queue_scaler import QueueScaler

from bigtop.plugins.testing import Bench, Call


def test_there_are_as_many_processes_as_there_are_jobs_for(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / str(number)).touch()
    with Bench(QueueScaler, watcher="worker", folder=tmp_path, per_worker=10) as bench:
        bench.pass_time(5)
        assert bench.calls == [Call("scale", {"name": "worker", "count": 3})]
        bench.feed("worker.died", exit_code=1)
        assert bench.state == {"deaths": 1}
