import os
import socket
import subprocess

from bench import procfs
from bench.procfs import Process

STAT = "4242 (a) b (c) R 17 4242 4242 0 -1 4194304 900 80 0 0 150 50 30 20 20 0 3 0 8812 1000 200"


def test_stat_counts_fields_from_the_last_parenthesis() -> None:
    process = procfs.parse_stat(STAT)
    assert (process.pid, process.parent) == (4242, 17)
    assert process.own == 200 * procfs.TICK
    assert process.reaped == 50 * procfs.TICK


def test_pss_is_given_in_bytes_and_zero_where_the_kernel_has_none() -> None:
    assert (
        procfs.parse_pss("00400000-7fff [rollup]\nRss:  900 kB\nPss:  12 kB\nPss_Anon:  5 kB\n") == 12 * 1024
    )
    assert procfs.parse_pss("") == 0


def test_cores_are_read_one_by_one_without_the_total() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 400 5 6 7 8 0 0\ncpu3 0 0 1 400 5 0 0 0 0 0\nintr 5 1\n"
    cores = procfs.parse_cpus(text)
    assert cores == {0: (19 * procfs.TICK, 8 * procfs.TICK), 3: (procfs.TICK, 0)}


def test_descendants_follow_every_generation_and_no_stranger() -> None:
    table = [
        Process(1, 0, 0, 0),
        Process(5, 1, 0, 0),
        Process(6, 5, 0, 0),
        Process(7, 6, 0, 0),
        Process(9, 1, 0, 0),
    ]
    assert set(procfs.descendants(table, [5])) == {5, 6, 7}
    assert set(procfs.descendants(table, [6, 9])) == {6, 7, 9}
    assert procfs.descendants(table, [77]) == {}


def test_a_worker_reaped_between_two_samples_keeps_its_cost() -> None:
    before = {5: Process(5, 1, 1.0, 0.0), 6: Process(6, 5, 2.0, 0.0)}
    after = {5: Process(5, 1, 1.5, 2.75)}  # the worker used 0.75 s more before it ended
    assert procfs.cpu(after) - procfs.cpu(before) == 1.25


def test_workers_are_those_that_used_most_cpu() -> None:
    before = {5: Process(5, 1, 50.0, 0), 6: Process(6, 5, 1.0, 0)}
    after = {5: Process(5, 1, 50.1, 0), 6: Process(6, 5, 2.0, 0), 7: Process(7, 5, 0.5, 0)}
    assert procfs.busiest(before, after, 2) == [6, 7]


def test_a_live_tree_contains_this_process() -> None:
    mine = procfs.tree([os.getpid()])[os.getpid()]
    assert mine.parent == os.getppid()
    assert procfs.pss(os.getpid()) > 0


def test_clients_are_told_by_their_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert procfs.clients(os.getpid(), port) == set()
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert procfs.clients(os.getpid(), port) == {client.getsockname()[1]}


def test_who_is_gone_has_no_title_and_no_clients() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        assert (procfs.title(ended.pid), procfs.clients(ended.pid, 1)) == ("", set())
    assert procfs.title(os.getpid())
