"""Records: what outlives a process."""

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
