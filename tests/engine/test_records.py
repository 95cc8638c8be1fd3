"""Records: what outlives a process."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from engine.errors import WeftError
from engine.records import Records


@pytest.fixture(params=["memory", "file"])
def records(request, tmp_path):
    made = Records(tmp_path / "state" / "r.sqlite" if request.param == "file" else None)
    yield made
    made.close()


def test_a_trace_is_remembered_and_says_when_it_is_the_one_before(records):
    assert records.trace("k.out") is None
    assert not records.add_trace("k.out", "1")
    assert records.add_trace("k.out", "1")
    assert not records.add_trace("k.out", "2")
    assert records.trace("k.out") == "2"


def test_a_receipt_keeps_files_and_their_content(records):
    assert records.receipt("e") == []
    records.add_receipt("e", [("/out/a.png", "1f"), ("/out/ü.png", "2f")])
    assert records.receipt("e") == [("/out/a.png", "1f"), ("/out/ü.png", "2f")]


def test_seconds_are_a_moving_average_per_unit_of_work(records):
    assert records.rate("n") is None
    records.add_seconds("n", 10.0, 5)  # the first holds the loading of weights
    assert records.rate("n") == 2.0
    records.add_seconds("n", 5.0, 5)
    assert records.rate("n") == 1.0
    records.add_seconds("n", 2.0, 1)
    assert records.rate("n") == pytest.approx(0.7 * 1.0 + 0.3 * 2.0)
    records.add_seconds("zero", 3.0, 0)  # no work: it took what it took
    assert records.rate("zero") == 3.0


def test_the_largest_seed_is_kept_exactly(records):
    records.set_seed("flow", "s.seed", 2**64 - 1)
    assert records.seed("flow", "s.seed") == 2**64 - 1 and records.seed("other", "s.seed") is None


def test_the_last_run_of_a_workflow_replaces_the_one_before(records):
    records.set_last("flow", {"a": {"x": "1"}, "b": {"y": "2"}})
    records.set_last("flow", {"a": {"x": "3"}})
    records.set_last("other", {"b": {}})
    assert records.last("flow") == {"a": {"x": "3"}} and records.last("other") == {"b": {}}


def test_records_outlive_the_process(tmp_path):
    one = Records(tmp_path / "r.sqlite")
    one.add_trace("k", "1")
    one.close()
    two = Records(tmp_path / "r.sqlite")
    assert two.trace("k") == "1"
    two.close()


def test_two_processes_may_write_at_once(tmp_path):
    both = [Records(tmp_path / "r.sqlite") for _ in range(2)]

    def work(records, name):
        for index in range(50):
            records.add_trace(f"{name}{index}", "x")

    threads = [threading.Thread(target=work, args=(records, str(i))) for i, records in enumerate(both)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(both[0].trace(f"1{index}") and both[1].trace(f"0{index}") for index in range(50))
    for records in both:
        records.close()


@pytest.mark.parametrize("damage", ["folder", "garbage"])
def test_records_that_cannot_be_opened_are_one_clear_line(tmp_path, damage):
    path = tmp_path / "r.sqlite"
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"this is no database, whatever its name may say" * 30)
    with pytest.raises(WeftError) as wrong:
        Records(path)
    assert wrong.value.code == "place.write" and "r.sqlite" in str(wrong.value)


def test_the_most_memory_is_remembered_for_as_much_work_and_else_as_it_was_the_time_before():
    records = Records()
    assert records.peak("denoise", 20) is None
    records.add_peak("denoise", 20, 1000)
    records.add_peak("denoise", 40, 3000)
    assert (records.peak("denoise", 20), records.peak("denoise", 40)) == (1000, 3000)
    assert records.peak("denoise", 80) == 3000
    assert records.peak("decode", 20) is None


def test_records_of_a_newer_weft_are_left_as_they_are(tmp_path):
    path = tmp_path / "r.sqlite"
    Records(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    with pytest.raises(WeftError) as wrong:
        Records(path)
    assert "newer" in str(wrong.value)
    assert path.read_bytes() == before


def everything(records):
    """One of each write; then what is read again."""
    records.add_trace("k.out", LONG)
    records.add_receipt("e", [("/out/a.png", "1f")])
    records.add_seconds("n", 2.0)
    records.set_seed("flow", "s.seed", 7)
    records.set_last("flow", {"a": {"x": "3"}})
    records.add_peak("n", 20, 1000)
    return (
        records.trace("k.out"),
        records.receipt("e"),
        records.rate("n"),
        records.seed("flow", "s.seed"),
        records.last("flow"),
        records.peak("n", 20),
    )


LONG = "1" * 9000
ALL = (LONG, [("/out/a.png", "1f")], 2.0, 7, {"a": {"x": "3"}}, 1000)


def full(path):
    records = Records(path)
    pages = records._db.execute("PRAGMA page_count").fetchone()[0]
    records._db.execute(f"PRAGMA max_page_count={pages}")
    return records


def readonly(path):
    records = Records(path)
    records._db.execute("PRAGMA query_only=1")
    return records


def damaged(path):
    """Whole enough to be opened."""
    records = Records(path)
    assert everything(records) == ALL
    records.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    return Records(path)


def locked(path):
    records = Records(path)
    records._db.execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    LOCKS.append(other)
    return records


LOCKS: list[sqlite3.Connection] = []


@pytest.mark.parametrize("harm", [full, readonly, damaged, locked])
def test_records_that_cannot_be_written_are_kept_for_this_process_and_no_run_fails(tmp_path, harm):
    records = harm(tmp_path / "r.sqlite")
    assert everything(records) == ALL
    assert records.problem
    assert not records._db.in_transaction
    records.close()
    while LOCKS:
        LOCKS.pop().close()


def test_after_a_write_that_failed_in_the_middle_the_next_one_is_written(tmp_path, monkeypatch):
    records = Records(tmp_path / "r.sqlite")
    records.set_last("flow", {"a": {"x": "1"}})
    records._db.set_authorizer(
        lambda action, table, *_: (
            sqlite3.SQLITE_DENY if (action, table) == (sqlite3.SQLITE_INSERT, "before") else sqlite3.SQLITE_OK
        )
    )
    records.set_last("flow", {"a": {"x": "2"}})
    records._db.set_authorizer(None)
    assert records.last("flow") == {"a": {"x": "2"}}
    other = Records(tmp_path / "r.sqlite")
    assert other.last("flow") == {"a": {"x": "1"}}  # whole, as it was before
    records._resume_at = 0.0
    records.set_last("flow", {"a": {"x": "3"}})
    assert records.last("flow") == other.last("flow") == {"a": {"x": "3"}}
    assert records.problem == ""
    records.close()
    other.close()


def test_processes_that_start_at_once_all_open_their_records(tmp_path):
    code = (
        "import sys; from pathlib import Path; from engine.records import Records\n"
        "sys.stdin.read(1)\n"
        "for n in range(20):\n"
        "    r = Records(Path(sys.argv[1]) / f'{n}.sqlite'); r.add_trace(sys.argv[2], 'x')\n"
        "    assert not r.problem; r.close()\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(number)], stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for process in running:
        process.stdin.write(b"x")
        process.stdin.close()
    for process in running:
        process.wait()
    assert [process.returncode for process in running] == [0] * 4


def test_a_trace_in_which_a_bit_is_wrong_is_no_trace(tmp_path):
    """A trace is a value (a seed, a text) that nothing below it would doubt."""
    records = Records(tmp_path / "r.sqlite")
    records.add_trace("k.out", "12")
    records._db.execute("UPDATE traces SET template = replace(template, '12', '13')")
    assert records.trace("k.out") is None
    assert not records.add_trace("k.out", "12")
    assert records.trace("k.out") == "12"
    records.close()
