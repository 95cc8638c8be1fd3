"""Run: what a node may ask; in a graph the engine answers, in a notebook somebody else does."""

import inspect

import pytest

from engine.invoke import EngineRun
from engine.memory import Memory
from engine.numerics import Numerics
from engine.run import Leasable, Run, State, ambient
from tests.engine.toys import Thing, Weights


def test_run_only_says_what_may_be_asked():
    with pytest.raises(TypeError, match="abstract"):
        Run()


def test_the_engine_answers_everything():
    run = EngineRun("a/b", Memory({"cpu": 0}), Numerics("cpu", dtype="bfloat16"))
    assert isinstance(run, Run) and run.path == "a/b" and (run.device, run.dtype) == ("cpu", "bfloat16")
    asked = {name for name, _ in inspect.getmembers(Run) if not name.startswith("_")}
    assert asked <= set(dir(run))
    assert not run.cancelled and run.resume() is None
    run.check()
    run.progress(1, 2)
    run.preview(lambda: pytest.fail("nobody watches"))
    run.show(Thing("a"))
    run.checkpoint(State(0, {}))


def test_every_service_is_explained():
    for name, thing in vars(Run).items():
        if not name.startswith("_") and name != "path":
            assert inspect.getdoc(thing), name


def test_a_recipe_is_what_has_weights_and_can_build_and_attach():
    assert isinstance(Weights("w"), Leasable) and not isinstance(Thing("a"), Leasable)


def test_a_recipes_own_dtype_wins_over_the_runs():
    class Halved(Weights):
        numerics = (("dtype", "float16"),)

        def build(self, device, dtype):
            built.append((device, dtype))
            return super().build(device, dtype)

    built = []
    run = EngineRun("s", Memory({"cpu": 0}), Numerics("cpu"))
    with run.lease(Weights("w")), run.lease(Halved("h")):
        pass
    assert built == [("cpu", "float16")]


def test_a_state_is_frozen_and_has_its_defaults():
    state = State(3, {})
    assert state.data == {} and state.rng == ()
    with pytest.raises(AttributeError):
        state.index = 4


def test_there_is_one_ambient_run():
    assert ambient() is ambient() and isinstance(ambient(), Run)
