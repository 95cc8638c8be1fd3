"""What was accepted is never lost: restarts, `kill -9`, databases that are damaged or from the future."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.client import Client
from engine.errors import WeftError
from engine.server.config import Config
from engine.server.store import STARTS_LIMIT, Row, Store
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.painted import document

ROOT = Path(__file__).resolve().parents[3]


def waiting(name="gate"):
    nodes = {
        "dots": box("paint.dots", seed="random"),
        "make": box("toy.make"),
        "gate": box("toy.gate", thing="@make", name=name),
    }
    return document(nodes, outputs={"image": "dots", "out": "gate"})


def test_what_ran_when_the_server_ended_is_taken_up_under_its_id_with_its_seeds(servers):
    first = servers.start()
    job = first.client.submit(waiting())
    assert gate("gate").reached.wait(10)
    servers.stop(first)
    gate("gate").open.set()
    second = servers.start()
    done = second.client.wait(job.id)
    assert done.state == "succeeded" and done.drawn == job.drawn != {}
    assert len(second.client.history()) == 1, "it is neither lost nor doubled"


def test_what_waited_waits_on_in_its_order_and_a_pause_stays_one(servers):
    first = servers.start()
    first.client.queue(paused=True)
    jobs = [first.client.submit(document({"m": box("toy.make", text=t)})).id for t in "abc"]
    first.client.move(jobs[2], 0)
    servers.stop(first)
    second = servers.start()
    queue = second.client.state().queue
    assert queue.paused and [job.id for job in queue.jobs] == [jobs[2], jobs[0], jobs[1]]
    assert {job.state for job in queue.jobs} == {"queued"}
    second.client.queue(paused=False)
    assert [second.client.wait(id).state for id in jobs] == ["succeeded"] * 3


def test_history_and_pictures_outlive_the_server(servers):
    first = servers.start()
    work = document({"s": box("paint.square")}, outputs={"o": "s"})
    job = first.client.wait(first.client.submit(work, key="k").id)
    servers.stop(first)
    second = servers.start()
    [kept] = second.client.history()
    assert (kept.id, kept.outputs, kept.pictures) == (job.id, job.outputs, job.pictures)
    assert second.client.picture(kept.outputs["o"][0]).startswith(b"\x89PNG")
    assert second.client.submit(work, key="k").id == job.id, "the key is remembered too"


def test_only_the_newest_jobs_are_kept_and_the_pictures_of_the_others_go(servers):
    first = servers.start()
    works = [document({"s": box("paint.square", side=side)}, outputs={"o": "s"}) for side in (2, 3, 4)]
    jobs = [first.client.wait(first.client.submit(work).id) for work in works]
    servers.stop(first)
    second = servers.start(config=Config(history=2))
    second.client.state()
    assert [job.id for job in second.client.history()] == [jobs[2].id, jobs[1].id]
    assert second.client.picture(jobs[1].outputs["o"][0])
    with pytest.raises(WeftError, match="no picture"):
        second.client.picture(jobs[0].outputs["o"][0])


def test_a_job_whose_model_is_gone_fails_with_the_reason_and_the_next_runs(servers, home):
    first = servers.start()
    first.client.queue(paused=True)
    home.input.mkdir(parents=True)
    (home.input / "a.txt").write_text("a")
    bad = first.client.submit(document({"r": box("toy.read", name="a.txt")}, outputs={"o": "r"}))
    good = first.client.submit(document({"s": box("paint.square")}, outputs={"o": "s"}))
    servers.stop(first)
    (home.input / "a.txt").unlink()
    second = servers.start()
    second.client.queue(paused=False)
    assert second.client.wait(good.id).state == "succeeded"
    done = second.client.wait(bad.id)
    assert done.state == "failed" and done.problems[0].code == "media.missing"


def test_a_job_that_takes_the_process_with_it_is_not_tried_for_ever(servers, home):
    first = servers.start()
    job = first.client.submit(waiting())
    assert gate("gate").reached.wait(10)
    servers.stop(first)
    with sqlite3.connect(home.state / "jobs.sqlite") as db:
        db.execute("UPDATE jobs SET starts = ?", (STARTS_LIMIT,))
    db.close()
    second = servers.start()
    done = second.client.wait(job.id)
    assert done.state == "failed" and done.problems[0].code == "run.limit"


@pytest.mark.parametrize("more", [{}, {"rows": [{"dots.seed": 1}]}])
def test_ending_as_asked_does_not_count_as_being_taken_along_by_a_job(servers, more):
    running = servers.start()
    job = running.client.submit(waiting(), **more)
    for _ in range(STARTS_LIMIT + 1):
        assert gate("gate").reached.wait(30)
        servers.stop(running)
        gate("gate").reached.clear()
        running = servers.start()
    gate("gate").open.set()
    assert running.client.wait(job.id).state == "succeeded"


def test_a_database_of_an_older_weft_is_brought_forward_and_what_it_was_is_kept(home):
    from engine.server.store import _SCHEMAS

    home.state.mkdir(parents=True)
    path = home.state / "jobs.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(_SCHEMAS[0])
        values = (
            "old",
            None,
            "",
            "succeeded",
            "t",
            1.0,
            1.0,
            1.0,
            2.0,
            1,
            "{}",
            '{"weft": 1, "nodes": {}}',
            "{}",
            "{}",
        )
        names = (
            "id, key, digest, state, title, place, created, started, finished, starts, request, resolved, drawn, found"
        )
        db.execute(f"INSERT INTO jobs ({names}) VALUES ({','.join('?' * 14)})", values)
        db.execute("PRAGMA user_version=1")
    db.close()
    store = Store(path)
    row = store.get("old")
    assert (row.state, row.priority, row.owner, row.starts) == ("succeeded", 0, "", 1)
    store.add(Row("new", None, "", "queued", "t", 0.0, 0.0))
    store.close()
    with sqlite3.connect(path.with_name("jobs.sqlite.version-1")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT id FROM jobs").fetchall() == [("old",)]
    db.close()


def test_a_damaged_database_is_moved_aside_and_the_server_goes_on(servers, home):
    home.state.mkdir(parents=True)
    (home.state / "jobs.sqlite").write_bytes(b"this is no database" * 1000)
    running = servers.start()
    assert running.client.jobs() == []
    [moved] = home.state.glob("jobs.sqlite.damaged-*")
    assert moved.read_bytes().startswith(b"this is no database")


def test_a_database_of_a_newer_weft_is_refused_by_name(home):
    home.state.mkdir(parents=True)
    path = home.state / "jobs.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = path.read_bytes()
    with pytest.raises(WeftError, match="has version 99, this Weft knows up to") as caught:
        Store(path)
    assert caught.value.code == "file.version" and path.read_bytes() == before


def test_a_job_that_cannot_be_written_down_is_not_accepted(tmp_path):
    store = Store(tmp_path / "jobs.sqlite")
    store._db.execute("PRAGMA max_page_count=12")
    row = Row("big", None, "", "queued", "t", 0.0, 0.0, request={"workflow": "x" * 10**6})
    with pytest.raises(WeftError) as caught:
        store.add(row)
    assert caught.value.code == "place.write" and store.get("big") is None
    store.close()


def start(home: Path, **more: str) -> tuple[subprocess.Popen[str], Client]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.server.process", str(home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **more},
    )
    client = Client(process.stdout.readline().strip(), timeout=30)
    client.__enter__()
    return process, client


def test_kill_9_loses_no_job_and_doubles_none(tmp_path):
    square = {"s": box("paint.square")}
    process, weft = start(tmp_path)
    done = weft.wait(weft.submit(document(square, outputs={"o": "s"})).id)
    runs = weft.submit(
        document({"d": box("paint.dots", seed="random"), "u": box("paint.until", picture="@d")}, outputs={"o": "u"})
    )
    stream = weft.follow(runs.id)
    next(event for event in stream if event["event"] in ("step_started", "job_finished") and event.get("path") == "u")
    stream.close()
    weft.queue(paused=True)
    waits = [weft.submit(document({"m": box("toy.make", text=t)})).id for t in "ab"]
    process.kill()
    process.wait()
    weft.__exit__(None, None, None)
    process.stdout.close()

    (tmp_path / "input").mkdir(exist_ok=True)
    (tmp_path / "input" / "go").touch()
    process, weft = start(tmp_path)
    try:
        weft.queue(paused=False)
        states = {id: weft.wait(id).state for id in (runs.id, *waits)}
        assert set(states.values()) == {"succeeded"}
        history = [job.id for job in weft.history()]
        assert sorted(history) == sorted([done.id, runs.id, *waits])
        assert weft.job(runs.id).drawn == runs.drawn
        assert weft.job(done.id).outputs == done.outputs
    finally:
        weft.__exit__(None, None, None)
        process.terminate()
        assert process.wait(20) == 0, "it ends gracefully when asked to"
        process.stdout.close()
