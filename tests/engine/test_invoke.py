"""Invoke: call one node, hold it to what it declares, and never let it write into what others read."""

import dataclasses
import sys
import threading
import time

import pytest
import torch

from engine.errors import Cancelled, WeftError
from engine.invoke import EngineRun, Hooks, LocalInvoker, Stopwatch, ambient, import_ahead, using_ambient
from engine.memory import Memory
from engine.node import Output, is_a
from engine.numerics import Numerics
from engine.sockets import Ref, Type, list_of
from tests.engine import toys
from tests.engine.toys import Grid, Other, SpecialThing, Thing


@pytest.fixture
def run():
    return EngineRun("step", Memory({"cpu": 10**6}), Numerics("cpu"))


@pytest.fixture
def invoker(registry):
    return LocalInvoker(registry.types)


def spec(function):
    return function.__weft__


def test_outputs_come_by_name(invoker, run):
    assert invoker.call(spec(toys.upper), {"thing": Thing("a"), "times": 2}, run) == {"out": Thing("AA")}
    both = invoker.call(spec(toys.split), {"thing": Thing("abcd")}, run)
    assert both == {"first": Thing("ab"), "second": Thing("cd")}


def test_growing_and_named_inputs_reach_the_function(invoker, run):
    listed = invoker.call(spec(toys.join), {"things": [Thing("a"), Thing("b")], "glue": "-"}, run)
    assert listed["out"].text == "a-b"
    named = invoker.call(spec(toys.named), {"things": {"y": Thing("b"), "x": Thing("a")}}, run)
    assert named["out"].text == "x=a,y=b"


def test_nodes_run_without_gradients_and_never_in_inference_mode(invoker, run):
    out = invoker.call(spec(toys.scale), {"grid": Grid(torch.ones(2, requires_grad=True)), "by": 2.0}, run)["out"]
    assert not out.tensor.requires_grad and not out.tensor.is_inference()
    assert out.tensor._version == 0
    assert torch.is_grad_enabled()


def test_an_awaited_node_is_awaited(invoker, run):
    assert invoker.call(spec(toys.later), {"thing": Thing("a")}, run)["out"].text == "a~"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (toys.lie, "'toy.lie' declares that 'out' is Thing, but returned str ('a')"),
        (toys.swap, "'toy.swap' must return first, second, it returned tuple (list of 1 (Thing, ...))"),
    ],
)
def test_a_node_that_lies_is_the_one_blamed(invoker, run, function, message):
    with pytest.raises(WeftError) as wrong:
        invoker.call(spec(function), {"thing": Thing("a")}, run)
    assert wrong.value.code == "node.returned" and wrong.value.problem.message == message


@pytest.mark.parametrize(
    ("value", "kind", "right"),
    [
        (3, Type("int"), True),
        (True, Type("int"), False),
        (3, Type("float"), True),
        ("3", Type("float"), False),
        (True, Type("bool"), True),
        (1, Type("bool"), False),
        (None, Type("Thing"), False),
        (None, Type("Thing", optional=True), True),
        (Thing("a"), Type("Thing"), True),
        (SpecialThing("a"), Type("Thing"), True),
        (Thing("a"), Type("SpecialThing"), False),
        (Other("a"), Type("Thing"), False),
        ([Thing("a")], list_of(Type("Thing")), True),
        ([Thing("a"), 3], list_of(Type("Thing")), False),
        (Thing("a"), list_of(Type("Thing")), False),
        ("up", Type("choice", choices=("up", "down")), True),
        ("left", Type("choice", choices=("up", "down")), False),
        (object(), Type("any"), True),
        (object(), Type("pack/Unheard"), True),
        (True, Type("float"), False),
        (None, Type("any"), True),
        (Ref("not there yet"), Type("Thing"), True),
    ],
)
def test_is_a(registry, value, kind, right):
    assert is_a(value, kind, registry.types) is right


def test_a_light_node_that_lies_is_blamed_as_well(session):
    from tests.engine.flows import box, flow

    nodes = {"liar": box("toy.light_lie"), "r": box("toy.repeat", thing="@m", count="@liar"), "m": box("toy.make")}
    with pytest.raises(WeftError) as wrong:
        session.run(flow(nodes, outputs={"out": "r"}))
    assert (wrong.value.code, wrong.value.problem.where.path) == ("node.returned", "liar")


def test_a_wire_that_brings_something_else_is_told_before_the_node_sees_it(session):
    """`toy.anything` gives what it gets; what that is, is only known when it is there."""
    from tests.engine.flows import box, flow

    nodes = {"o": box("toy.other"), "any": box("toy.anything", value="@o"), "u": box("toy.upper", thing="@any")}
    result = session.run(flow(nodes, outputs={"out": "u"}))
    assert [(p.code, p.where.path, p.where.socket) for p in result.problems] == [("graph.type", "u", "thing")]
    assert result.problems[0].message == "'thing' takes Thing, the wire brought Other"


def test_writing_into_an_input_is_found_and_the_input_named(invoker, run):
    with pytest.raises(WeftError) as wrong:
        invoker.call(spec(toys.mutate), {"grid": Grid(torch.ones(3))}, run)
    assert (wrong.value.code, wrong.value.problem.where.socket) == ("node.mutated", "grid")
    assert "clone" in wrong.value.problem.mend.text


def test_writing_past_the_version_counters_is_found_in_paranoid_mode(registry, run):
    grid = Grid(torch.ones(3))
    LocalInvoker(registry.types).call(spec(toys.sneak), {"grid": grid}, run)
    with pytest.raises(WeftError) as wrong:
        LocalInvoker(registry.types, paranoid=True).call(spec(toys.sneak), {"grid": Grid(torch.ones(3))}, run)
    assert wrong.value.code == "node.mutated"


def test_a_nodes_own_exception_keeps_its_traceback_and_the_inputs_in_words(invoker, run):
    with pytest.raises(WeftError) as wrong:
        invoker.call(spec(toys.fails), {"thing": Thing("a"), "message": "two\nlines"}, run)
    problem = wrong.value.problem
    assert problem.code == "node.raised" and problem.message == "'toy.fail' raised ValueError: two"
    assert "thing: Thing" in problem.report and "toys.py" in problem.report and "raise ValueError" in problem.report
    assert problem.report.startswith("toy.fail (version 1, pack core)")


def test_running_out_of_memory_is_handed_up_as_it_is(invoker, run):
    run.memory._devices["cpu"] = __import__("tests.engine.fakes", fromlist=["FakeDevice"]).FakeDevice(10)
    with pytest.raises(RuntimeError, match="out of memory"):
        invoker.call(spec(toys.hog), {"thing": Thing("a"), "count": 100}, run)


def test_cancel_goes_through_a_nodes_own_except():
    run = EngineRun("s", Memory({"cpu": 0}), Numerics("cpu"), Hooks(cancelled=lambda: True))
    swallowed = []
    with pytest.raises(Cancelled):
        try:
            run.check()
        except Exception as error:
            swallowed.append(error)
    assert swallowed == [] and run.cancelled
    with pytest.raises(Cancelled):
        run.progress(1, 2)


def test_batch_item_i_is_drawn_from_seed_plus_i(run):
    batch = run.generators(7, 3)
    alone = [run.generators(7 + index, 1)[0] for index in range(3)]
    for together, single in zip(batch, alone, strict=True):
        assert torch.equal(torch.randn(4, generator=together), torch.randn(4, generator=single))
    assert len(run.generators(7, 3, single_stream=True)) == 1
    assert run.generators(2**64 - 1, 2)[1].initial_seed() == 0


def test_outside_an_engine_a_node_is_a_function():
    assert toys.upper(Thing("a"), 2).text == "AA"
    assert toys.watch(Thing("a")).text == "a"  # services that nobody answers are harmless
    assert ambient().device and ambient().resume() is None
    own = EngineRun("mine", Memory({"cpu": 0}), Numerics("cpu", dtype="bfloat16"))
    with using_ambient(own):
        assert ambient() is own and ambient().dtype == "bfloat16"
    assert ambient() is not own
    with pytest.raises(WeftError, match="needs an engine"):
        ambient().nested(None, {})


def test_seconds_left_are_counted_without_the_loading(monkeypatch):
    from tests.engine.fakes import Clock

    clock = Clock()
    monkeypatch.setattr("engine.invoke.time.perf_counter", clock)
    watch = Stopwatch()
    clock.tick(30)  # weights
    assert watch.left(1, 11) is None
    clock.tick(2)
    assert watch.left(2, 11) == pytest.approx(18)
    assert watch.seconds() == 32


def test_a_call_waits_for_a_library_that_is_being_imported_ahead(invoker, run, tmp_path, monkeypatch):
    """A library that is half imported has not its names yet: the first job after the start met it like that."""
    (tmp_path / "slow_library.py").write_text("import time\ntime.sleep(0.3)\nREADY = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    ahead = threading.Thread(target=import_ahead, args=(("slow_library", "no_such_library"),))
    ahead.start()
    while "slow_library" not in sys.modules:
        time.sleep(0.001)

    def ready() -> bool:
        return bool(getattr(sys.modules["slow_library"], "READY", False))

    monkeypatch.setattr(toys, "ready", ready, raising=False)
    reads = dataclasses.replace(
        spec(toys.upper), path="tests.engine.toys:ready", inputs=(), outputs=(Output("out", Type("bool")),)
    )
    assert invoker.call(reads, {}, run) == {"out": True}
    ahead.join()
    assert list(import_ahead(["no_such_library"])) == ["no_such_library"]
