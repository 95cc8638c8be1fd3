"""Stress: load and faults, measured on the loopback. `make stress`, or with `--jobs`, `--clients`, `--kills`.

What is checked ends the run when it does not hold; what is measured is printed as a row of docs/reliability.md. The
nodes are toys, so that what is measured is the server and not a model.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import aiohttp
import PIL.Image
import psutil

from engine.client import AsyncClient, Client
from engine.errors import WeftError
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.server.shapes import Batch
from engine.session import Session
from engine.workflow import from_json
from tests.engine.conftest import PINNED
from tests.engine.flows import box
from tests.engine.server import painted
from tests.engine.server.painted import document

ROOT = Path(__file__).resolve().parents[3]
ROWS: list[tuple[str, str, str]] = []


def row(what: str, found: str, wanted: str = "") -> None:
    """One line of the report."""
    ROWS.append((what, found, wanted))
    print(f"  {what}: {found}" + (f"  (wanted: {wanted})" if wanted else ""), flush=True)


def sure(holds: bool, what: str) -> None:
    """End the run when something does not hold."""
    if not holds:
        raise SystemExit(f"stress: {what}")


class Process:
    """A server in a process of its own, of which it may be robbed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # Who kills here is outside: the guard against jobs that take the process with them is tested elsewhere.
        command = [sys.executable, "-m", "tests.engine.server.process", str(home), "1000000"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env)
        self.url = self.process.stdout.readline().strip()
        sure(bool(self.url), "the server did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def end(self, seconds: float = 60) -> int:
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()

    @property
    def rss(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


def dots(seed: int) -> dict:
    """A job whose picture tells which seed it had."""
    return document({"dots": box("paint.dots", seed=seed)}, outputs={"image": "dots"})


def right(weft: Client, blob: str, seed: int) -> bool:
    """Is the picture that of the seed?"""
    with PIL.Image.open(io.BytesIO(weft.picture(blob))) as picture:
        return "#{:02x}{:02x}{:02x}".format(*picture.convert("RGB").getpixel((0, 0))) == f"#{seed % 2**24:06x}"


# --- load ------------------------------------------------------------------------------------------------------------


def starting(home: Path) -> None:
    """CPU time from nothing to listening."""
    env = {**os.environ, "WEFT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "auto", "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    process.stdout.readline()
    times = psutil.Process(process.pid).cpu_times()
    process.terminate()
    process.wait(60)
    process.stdout.close()
    row("start to listening", f"{times.user + times.system:.2f} s of CPU", "≤ 1 s")


def overhead(home: Path) -> None:
    """What HTTP, the queue and the database cost over the engine, for a job that is known already."""
    session = Session(
        registry=painted.registry(),
        places=Places(home=home / "engine"),
        numerics=PINNED,
        memory=Memory({"cpu": 2**26}),
        records=Records(),
    )
    flow = from_json(dots(1))
    session.run(flow)
    own = []
    for _ in range(100):
        begun = time.perf_counter()
        session.run(flow)
        own.append(time.perf_counter() - begun)
    session.close()
    server = Process(home / "server")
    taken = []

    async def ask() -> None:
        async with AsyncClient(server.url) as weft:
            body = {"workflow": dots(1)}
            for turn in range(110):
                begun = time.perf_counter()
                await weft.send("POST", "/api/jobs?wait=1", json=body)
                if turn >= 10:
                    taken.append(time.perf_counter() - begun)

    asyncio.run(ask())
    server.end()
    over = (statistics.median(taken) - statistics.median(own)) * 1000
    row("a request over the engine (median of 100)", f"{over:.1f} ms", "≤ 5 ms")


async def listening(url: str, reads: bool, found: list[int], ready: asyncio.Event, last: list[str]) -> int:
    """One websocket client; it counts the ends of jobs, or never reads."""
    total = 0
    async with AsyncClient(url) as weft, weft._http.ws_connect("/ws", max_msg_size=2**26) as socket:
        ready.set()
        if not reads:
            await asyncio.Event().wait()
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                total += len(message.data)
                if '"job_finished"' in message.data:
                    found[0] += 1
                    if last and last[0] in message.data:
                        return total
    return total


async def crowd(url: str, jobs: int, clients: int, process: Process) -> None:
    """Many jobs at once, with many listeners of which every fifth never reads."""
    counts = [[0] for _ in range(clients)]
    last: list[str] = []
    async with AsyncClient(url, timeout=600) as weft:
        await weft.queue(paused=True)
        tasks = []
        for index in range(clients):
            ready = asyncio.Event()
            reads = index % 5 != 0
            tasks.append(asyncio.create_task(listening(url, reads, counts[index], ready, last)))
            await ready.wait()
        begun = time.perf_counter()
        gate = asyncio.Semaphore(16)

        async def one(seed: int) -> str:
            async with gate:
                return (await weft.submit(dots(seed))).id

        ids = await asyncio.gather(*(one(seed) for seed in range(jobs)))
        accepted = time.perf_counter() - begun
        row(f"{jobs:,} jobs accepted", f"{accepted:.1f} s ({jobs / accepted:.0f} a second)")
        begun = time.perf_counter()
        state = await weft.state()
        row(f"the snapshot with {jobs:,} waiting", f"{(time.perf_counter() - begun) * 1000:.0f} ms")
        sure(len(state.queue.jobs) == jobs, "the snapshot lacks jobs")
        last.append(state.queue.jobs[-1].id)
        early = process.rss
        begun = time.perf_counter()
        await weft.queue(paused=False)
        done, _ = await asyncio.wait(
            [task for index, task in enumerate(tasks) if index % 5], timeout=600, return_when=asyncio.FIRST_COMPLETED
        )
        sure(bool(done), "no listener saw the last job end")
        await asyncio.sleep(2)
        ran = time.perf_counter() - begun - 2
        row(f"{jobs:,} jobs run, {clients} listening, {clients // 5} never reading", f"{ran:.1f} s")
        healthy = [counts[index][0] for index in range(clients) if index % 5]
        sure(min(healthy) >= jobs - 2, f"a healthy listener saw {min(healthy)} of {jobs} ends")
        row("ends seen by each listener that reads", f"{min(healthy):,} of {jobs:,}", "all")
        sizes = [task.result() for task in done]
        row("told to a listener for each job", f"{sizes[0] / jobs / 1024:.1f} kB")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        states = [(await weft.job(id)).state for id in random.sample(ids, min(50, jobs))]
        sure(set(states) == {"succeeded"}, f"not all succeeded: {set(states)}")
        row("memory before and after", f"{early:.0f} → {process.rss:.0f} MB")


def flat(home: Path, jobs: int) -> None:
    """Memory over many jobs, one after the other."""
    server = Process(home)
    seen = []
    with Client(server.url, timeout=120) as weft:
        for turn in range(5):
            job = weft.submit(dots(turn * jobs), batch=Batch(jobs // 5, "dots.seed"))
            weft.wait(job.id)
            seen.append(server.rss)
    server.end()
    row(f"memory over {jobs:,} items, in fifths", " → ".join(f"{one:.0f}" for one in seen) + " MB", "flat")


def chain(home: Path, nodes: int) -> None:
    """What a run of many nodes costs in messages."""
    server = Process(home)
    boxes = {"n0": box("toy.make")}
    for index in range(1, nodes):
        boxes[f"n{index}"] = box("toy.upper", thing=f"@n{index - 1}")
    told = 0
    with Client(server.url, timeout=300) as weft:
        job = weft.submit(document(boxes, outputs={"o": f"n{nodes - 1}"}))
        for event in weft.follow(job.id):
            told += len(json.dumps(event))
        sure(event["state"] == "succeeded", f"the long run {event['state']}")
    server.end()
    row(f"messages of a run of {nodes:,} nodes", f"{told / 2**20:.2f} MB", "< 1 MB")


# --- faults ----------------------------------------------------------------------------------------------------------


def kills(home: Path, times: int, seed: int) -> None:
    """`kill -9` at random moments: nothing that was accepted is lost or doubled, and every picture is right."""
    rng = random.Random(seed)
    sent: dict[str, tuple[dict, int | None, int]] = {}  # key -> workflow, items, first seed
    accepted: dict[str, str] = {}  # key -> job
    begun = time.perf_counter()
    for turn in range(times):
        server = Process(home)
        killer = threading.Timer(rng.uniform(0.0, 1.2), server.process.kill)
        killer.start()
        # A client's life is longer than its server's: what was not answered is asked again under its key.
        with contextlib.suppress(WeftError), Client(server.url, timeout=20) as weft:
            for key in [key for key in sent if key not in accepted]:
                accepted[key] = submit(weft, key, *sent[key])
            for number in range(rng.randint(1, 6)):
                key = f"{turn}-{number}"
                sent[key] = (dots(rng.randrange(2**40)), rng.choice([None, None, 3]), 0)
                accepted[key] = submit(weft, key, *sent[key])
        killer.join()
        server.process.wait()
        server.process.stdout.close()
    took = time.perf_counter() - begun
    server = Process(home)
    with Client(server.url, timeout=120) as weft:
        for key in [key for key in sent if key not in accepted]:
            accepted[key] = submit(weft, key, *sent[key])
        wrong = 0
        for key, id in accepted.items():
            work, items, _ = sent[key]
            first = work["nodes"]["dots"]["inputs"]["seed"]
            sure(submit(weft, key, work, items, 0) == id, f"the key {key} gave another job")
            job = weft.wait(id)
            sure(job.state == "succeeded", f"{id} {job.state}: {job.problems}")
            if items is None:
                wrong += not right(weft, job.outputs["image"][0].blob, first)
            else:
                sure([item.state for item in job.items] == ["succeeded"] * items, f"items of {id}")
                wrong += sum(not right(weft, one.outputs[0].blob, first + one.index) for one in job.items)
        sure(wrong == 0, f"{wrong} pictures are wrong")
    server.end()
    with contextlib.closing(sqlite3.connect(home / "state" / "jobs.sqlite")) as db:
        kept = [id for (id,) in db.execute("SELECT id FROM jobs")]
    sure(sorted(kept) == sorted(accepted.values()), f"{len(kept)} jobs kept, {len(accepted)} accepted")
    row(
        f"{times} times `kill -9` at random moments, {took:.0f} s",
        f"{len(kept)} jobs: 0 lost, 0 doubled, 0 wrong",
        "0, 0, 0",
    )


def locked(home: Path) -> None:
    """Another process holds the database: short is waited for, long is an error, and then all is well again."""
    server = Process(home)
    with Client(server.url, timeout=60) as weft:
        weft.state()
        with contextlib.closing(sqlite3.connect(home / "state" / "jobs.sqlite", check_same_thread=False)) as db:
            db.isolation_level = None
            db.execute("BEGIN EXCLUSIVE")
            threading.Timer(1.0, db.execute, ("ROLLBACK",)).start()
            sure(weft.wait(weft.submit(dots(1)).id).state == "succeeded", "a short lock was not waited for")
            db.execute("BEGIN EXCLUSIVE")
            begun = time.perf_counter()
            try:
                weft.submit(dots(2))
                sure(False, "a job was accepted that cannot be kept")
            except WeftError as error:
                sure(error.code == "place.write", f"the lock was told as {error}")
            waited = time.perf_counter() - begun
            sure(weft.health().ok, "the server does not answer while its database is locked")
            db.execute("ROLLBACK")
        sure(weft.wait(weft.submit(dots(3)).id).state == "succeeded", "the server did not recover")
    server.end()
    row(
        "a database that is locked",
        f"waited for {waited:.0f} s, then one clear error; then well",
        "",
    )


def hanging(home: Path) -> None:
    """A node that hangs: the server answers, the rest runs, and it ends when asked to."""
    server = Process(home)
    with Client(server.url, timeout=60) as weft:
        job = weft.submit(
            document({"s": box("paint.square"), "h": box("paint.hang", picture="@s")}, outputs={"o": "h"})
        )
        for event in weft.follow(job.id):
            if event["event"] == "step_started" and event.get("path") == "h":
                break
        weft.cancel(job.id)
        begun = time.perf_counter()
        done = weft.wait(weft.submit(document({"m": box("toy.make")}, outputs={"o": "m"})).id)
        sure(done.state == "succeeded", "a hanging node stopped another job")
        row("another job beside a node that hangs", f"{time.perf_counter() - begun:.1f} s", "")
    begun = time.perf_counter()
    sure(server.end(90) == 0, "the server did not end")
    row("the end of a server with a node that hangs", f"{time.perf_counter() - begun:.0f} s", "≤ 30 s")


def greedy(home: Path) -> None:
    """A node that asks for more memory than there is fails alone."""
    server = Process(home)
    with Client(server.url, timeout=60) as weft:
        job = weft.wait(weft.submit(document({"g": box("paint.greedy")}, outputs={"o": "g"})).id)
        sure(job.state == "failed" and bool(job.problems), f"the greedy job {job.state}")
        sure(weft.wait(weft.submit(dots(5)).id).state == "succeeded", "the server did not go on")
        row("a node that eats memory", f"fails alone: {job.problems[0].code}", "")
    server.end()


def full(home: Path) -> None:
    """A disk that is full: a job that cannot be kept is not accepted, and what was accepted is whole."""
    server = Process(home)
    with Client(server.url, timeout=60) as weft:
        done = weft.wait(weft.submit(dots(7)).id)
        # No byte more than now for any file of the process: what a full disk looks like to it.
        psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_FSIZE, (4096, 4096))
        refused = 0
        for seed in range(100, 110):
            try:
                weft.submit({**dots(seed), "about": "x" * 20_000})
            except WeftError as error:
                sure(error.code in ("place.write", "server.failed"), f"a full disk was told as {error}")
                refused += error.code == "place.write"
        sure(refused > 0, "nothing was refused")
        sure(weft.job(done.id).state == "succeeded" and weft.health().ok, "the server does not answer")
    server.kill()
    server = Process(home)
    with Client(server.url, timeout=60) as weft:
        sure(weft.job(done.id).state == "succeeded", "what was done before is gone")
        sure(weft.wait(weft.submit(dots(8)).id).state == "succeeded", "the server did not recover")
    server.end()
    row("a disk that is full", f"{refused} of 10 jobs refused with `place.write`; nothing lost", "")


def main() -> None:
    """Everything, or what `--only` names."""
    parts = ("start", "overhead", "crowd", "flat", "chain", "kills", "locked", "hanging", "greedy", "full")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=parts, action="append")
    args = parser.parse_args()
    with contextlib.suppress(OSError):
        os.nice(10)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for part in args.only or parts:
        print(part, flush=True)
        with tempfile.TemporaryDirectory(prefix="weft-stress-") as folder:
            home = Path(folder)
            match part:
                case "start":
                    starting(home)
                case "overhead":
                    overhead(home)
                case "crowd":
                    server = Process(home)
                    asyncio.run(crowd(server.url, args.jobs, args.clients, server))
                    server.end()
                case "flat":
                    flat(home, args.jobs)
                case "chain":
                    chain(home, 1000)
                case "kills":
                    kills(home, args.kills, args.seed)
                case "locked":
                    locked(home)
                case "hanging":
                    hanging(home)
                case "greedy":
                    greedy(home)
                case "full":
                    full(home)
    print("\n| | found | wanted |\n|---|---|---|")
    for what, found, wanted in ROWS:
        print(f"| {what} | {found} | {wanted} |")


def submit(weft: Client, key: str, work: dict, items: int | None, _: int) -> str:
    """A job under a key, with items or without."""
    more = {"batch": Batch(items, "dots.seed")} if items is not None else {}
    return weft.submit(work, key=key, **more).id


if __name__ == "__main__":
    main()
