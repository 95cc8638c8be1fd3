"""Incremental equals clean: whatever was run, edited, evicted or cancelled before, a value is that of a first run."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.disk import Disk
from engine.events import AlreadySaved, Saved, StepBlocked, StepFailed, StepFinished, StepStarted, ran
from engine.graph import bind
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.session import Session
from engine.values import bit_equal
from engine.workflow import from_json
from tests.engine import toys
from tests.engine.conftest import PINNED
from tests.properties.flows import Box, World, histories, worlds

REGISTRY = toys.registry()
few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@contextmanager
def engine(limit=2**24, records=None):
    with tempfile.TemporaryDirectory() as folder:
        session = Session(
            registry=REGISTRY,
            places=Places(home=Path(folder)),
            numerics=PINNED,
            memory=Memory({"cpu": limit}),
            records=records or Records(),
        )
        try:
            yield session
        finally:
            session.close()


def workflow(world: World):
    return from_json(world.record())


def clean(world: World):
    with engine() as session:
        return session.run(workflow(world))


def same(one, other) -> bool:
    return one.outputs.keys() == other.outputs.keys() and all(
        bit_equal(v, other.outputs[k]) for k, v in one.outputs.items()
    )


def blamed(result) -> set[tuple[str, str | None]]:
    return {(problem.code, problem.where.path) for problem in result.problems}


def idle(session) -> bool:
    return all(not resident.in_use for resident in session.engine.memory.budget("cpu").residents.values())


@few
@given(history=histories(), limit=st.sampled_from([0, 300, 2000, 2**24]))
def test_after_any_edits_under_any_budget_the_values_are_those_of_a_first_run(history, limit):
    with engine(limit) as session:
        for world in history:
            result = session.run(workflow(world))
            assert result.state == "succeeded", result.problems
            assert same(result, clean(world))
            assert idle(session)
            assert session.engine.memory.budget("cpu").used <= limit


@few
@given(history=histories(edits=3))
def test_only_what_changed_and_what_follows_it_runs(history):
    with engine() as session:
        seen: set[str] = set()
        before: dict[str, object] = {}
        sources: dict[str, object] = {}
        for world in history:
            work = workflow(world)
            result = session.run(work)
            graph = bind(work, REGISTRY)
            changed = {path for path in graph.steps if before.get(path) != work.nodes.get(path)}
            # What a wire looks through (a bypassed node) is no step: its readers read another node now.
            changed |= {p for p, s in graph.steps.items() if dict(s.sources) != sources.get(p)} if before else set()
            allowed = changed.union(*(graph.descendants(path) for path in changed)) if changed else set()
            roots = {path.partition("/")[0] for path in result.ran}
            # A branch that a switch had not chosen before was never run.
            assert roots <= allowed | (roots - seen), (result.ran, changed)
            seen |= roots
            before = dict(work.nodes)
            sources = {path: dict(step.sources) for path, step in graph.steps.items()}


@few
@given(world=worlds(), limit=st.sampled_from([300, 2**24]))
def test_the_same_again_runs_nothing_that_is_still_there(world, limit):
    with engine(limit) as session:
        session.run(workflow(world))
        plan = session.plan(workflow(world))
        promised = {row.path for row in plan.steps if row.status == "run"}
        again = session.run(workflow(world))
        maybe = {row.path for row in plan.steps if row.status == "maybe"}
        assert promised <= set(again.ran) <= promised | maybe or set(again.ran) == promised
        if limit > 10**6:
            assert again.ran == []


@few
@given(first=worlds(harsh=True), second=worlds(harsh=True), limit=st.sampled_from([0, 2**24]))
def test_what_fails_fails_alike_and_everything_else_is_there(first, second, limit):
    with engine(limit) as session:
        for world in (first, second, first):
            result, alone = session.run(workflow(world)), clean(world)
            assert (result.state, blamed(result)) == (alone.state, blamed(alone))
            assert same(result, alone)
            # Every save has its file, with what a first run writes into it.
            saves = {f"n{i}e": box for i, box in enumerate(world.boxes) if box.kind == "saved"}
            written = {e.path: e.files for e in result.events if isinstance(e, Saved | AlreadySaved)}
            assert written.keys() == {e.path for e in alone.events if isinstance(e, Saved)} <= saves.keys()
            assert all(Path(file).is_file() for files in written.values() for file in files)
            ended = {e.path for e in result.events if isinstance(e, StepBlocked | StepFailed)}
            assert all(path in ended or path in written for path in saves)
            assert idle(session)


@few
@given(history=histories(edits=2), after=st.integers(0, 12), limit=st.sampled_from([0, 2**24]))
def test_a_cancel_at_any_moment_leaves_nothing_wrong_behind(history, after, limit):
    with engine(limit) as session:
        for world in history:
            job = session.submit(workflow(world))
            for count, event in enumerate(job.events()):
                if count == after:
                    job.cancel()
                assert not isinstance(event, StepStarted) or event.path
            assert job.state in ("cancelled", "succeeded")
            job.close()
            assert idle(session)
            assert same(session.run(workflow(world)), clean(world))


@few
@given(world=worlds(), other=worlds())
def test_two_jobs_at_once_give_what_each_gives_alone(world, other):
    with engine() as session:
        jobs = [session.submit(workflow(one)) for one in (world, other, world)]
        results = [job.result() for job in jobs]
        for one, result in zip((world, other, world), results, strict=True):
            assert same(result, clean(one))
        finished = [e.path for job in jobs for e in job.diary if isinstance(e, StepFinished)]
        assert len(ran(jobs[0].diary)) + len(ran(jobs[2].diary)) <= len(set(finished)) * 2
        for job in jobs:
            job.close()
        assert idle(session)


@few
@given(world=worlds())
def test_in_the_next_process_the_trace_table_changes_no_value(world):
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for _ in range(2):
            with engine(records=Records(Path(folder) / "r.sqlite")) as session:
                results.append(session.run(workflow(world)))
        assert same(*results)


@few
@given(world=worlds(most=5))
def test_names_and_order_in_the_file_are_not_part_of_any_id(world):
    record = world.record()
    names = {name: f"x{index}" for index, name in enumerate(reversed(list(record["nodes"])))}

    def renamed(value):
        if isinstance(value, dict) and set(value) == {"from"}:
            node, _, output = value["from"].partition(".")
            return {"from": names[node] + (f".{output}" if output else "")}
        if isinstance(value, dict):
            return {key: renamed(one) for key, one in value.items()}
        return [renamed(one) for one in value] if isinstance(value, list) else value

    nodes = {
        names[name]: {**node, "inputs": renamed(node["inputs"])} for name, node in reversed(record["nodes"].items())
    }
    outputs = {label: names[node] for label, node in record["outputs"].items()}
    with engine() as session:
        session.run(from_json(record))
        assert session.run(from_json({**record, "nodes": nodes, "outputs": outputs})).ran == []


def harmed(folder: Path, which: int, harm: str) -> None:
    """One of the files on disk is cut, changed in one bit, emptied, or gone."""
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        return
    file = files[which % len(files)]
    data = bytearray(file.read_bytes())
    if harm == "gone":
        return file.unlink()
    if harm == "bit":
        data[which % len(data)] ^= 1 << which % 8
    file.write_bytes(data[: len(data) // 2] if harm == "cut" else b"" if harm == "empty" else data)


@settings(few, max_examples=10)
@given(
    history=histories(edits=3),
    limit=st.sampled_from([0, 2000, 2**24]),
    room=st.sampled_from([12_000, 2**24]),
    harm=st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(["none", "gone", "cut", "bit", "empty"])),
        min_size=4,
        max_size=4,
    ),
)
def test_after_restarts_with_a_disk_that_is_small_or_damaged_the_values_are_those_of_a_first_run(
    history, limit, room, harm
):
    with tempfile.TemporaryDirectory() as folder:
        for world, (which, how) in zip(history, harm, strict=False):
            disk = Disk(Path(folder) / "cache", {"engine", "nodes", "tests"}, limit=room, quick=0.0)
            if how != "none":
                harmed(disk.folder, which, how)
            with Session(
                registry=REGISTRY,
                places=Places(home=Path(folder)),
                numerics=PINNED,
                memory=Memory({"cpu": limit}),
                records=Records(Path(folder) / "records.sqlite"),
                lower=disk,
            ) as session:
                result = session.run(workflow(world))
                assert result.state == "succeeded", result.problems
                assert same(result, clean(world))
                assert idle(session)
            assert sum(item.bytes for item in disk.entries()) <= room


ANYWHERE = """
import json, sys
from pathlib import Path
from engine.disk import Disk
from engine.graph import bind
from engine.memory import Memory
from engine.places import Places
from engine.plan import Frontier
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from engine.values import content_digest
from engine.workflow import from_json, read
from tests.engine import toys
from tests.engine.conftest import PINNED
home, world, flows = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
disk = Disk(home / "cache", {"engine", "nodes", "tests"}, quick=0.0)
session = Session(registry=toys.registry(), places=Places(home=home), numerics=PINNED, memory=Memory({"cpu": 2**24}),
                  records=Records(home / "records.sqlite"), lower=disk)
result = session.run(from_json(world))
told = {"ran": sorted(result.ran), "bytes": {name: content_digest(value) for name, value in result.outputs.items()}}
session.close()
nodes = load_registry()
with Session(registry=nodes, places=Places(home=home), numerics=PINNED, memory=Memory(), records=Records()) as real:
    for file in flows:
        graph = bind(read(Path(file)), nodes)
        lives = Frontier(graph, real.engine.setting()).lives
        told[Path(file).name] = {path: [live.key, *live.checkpoints] for path, live in lives.items()}
print(json.dumps(told, sort_keys=True))
"""


def test_ids_and_bytes_are_the_same_in_another_process_whatever_its_hash_seed(tmp_path):
    """Nothing may hang on the order in which a set or a dict is walked."""
    kinds = ["toy.make", "toy.upper", "counted", "listed", "chosen", "mapped", "recipe", "folded", "toy.add"]
    reads = {"toy.make": (), "counted": (0, 1), "chosen": (1, 0), "toy.add": (3, 4)}
    values = {"chosen": {"choose": 1}, "toy.make": {"text": "e f g"}, "recipe": {"strength": 0.5}}
    boxes = [Box(kind, reads.get(kind, (index - 1,)), values.get(kind, {})) for index, kind in enumerate(kinds)]
    world = json.dumps(World(boxes).record())
    flows = [str(file) for file in sorted(Path("workflows").glob("*.json"))]
    assert flows

    def told(home: Path, seed: int) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-c", ANYWHERE, str(home), world, *flows],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    first, other, again = told(tmp_path / "a", 1), told(tmp_path / "b", 4_000_000), told(tmp_path / "a", 77)
    assert first == other
    assert first["ran"] and again == {**first, "ran": []}
