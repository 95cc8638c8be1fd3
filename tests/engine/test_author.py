"""Author: node functions called inside `with Workflow()` wire a graph; called outside they just run."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine import workflow
from engine.author import Wire, WiringError, Workflow
from engine.errors import WeftError
from engine.graph import bind
from tests.engine import toys

ROOT = Path(engine.__file__).parents[1]


def links(w: Workflow) -> dict[str, str]:
    nodes = w.document().nodes.items()
    return {f"{n}.{i}": str(s) for n, x in nodes for i, s in x.inputs.items() if isinstance(s, workflow.Link)}


def wrong(call) -> str:
    """The message of a call that cannot be wired; it names this file and the line of the call."""
    with pytest.raises(WiringError) as caught:
        call()
    where = caught.value.problem.where
    assert where.file == __file__
    assert where.line == inspect.getsourcelines(call)[1]
    assert isinstance(caught.value, TypeError)
    return str(caught.value)


# --- writing -------------------------------------------------------------------------------------------------------


def test_a_call_inside_adds_a_node_and_outside_it_runs():
    with Workflow() as w:
        thing = toys.upper(toys.make("a"))
    assert isinstance(thing, Wire)
    assert links(w) == {"upper.thing": "make.out"}
    assert toys.upper(toys.make("a")).text == "A"
    assert toys.COUNT == {"make": 1, "upper": 1}


def test_nodes_are_named_after_their_verb_in_the_order_of_calls():
    with Workflow() as w:
        toys.add(toys.make("a"), toys.make("b"))
    assert list(w.document().nodes) == ["make", "make_2", "add"]
    assert links(w) == {"add.a": "make.out", "add.b": "make_2.out"}


def test_another_name_goes_with_the_wires_and_parameters():
    with Workflow() as w:
        word = w.parameter("word", "a")
        first = w.name("first", toys.make(word))
        toys.upper(first)
        w.output("thing", first)
        w.name("primus", first)
        toys.upper(first)
    made = w.document()
    assert links(w) == {"upper.thing": "primus.out", "upper_2.thing": "primus.out"}
    assert made.outputs == {"thing": "primus.out"}
    assert made.parameters["word"].to == ("primus.text",)


def test_several_results_are_wires_by_name():
    with Workflow() as w:
        pair = toys.split(toys.make("ab"))
        toys.add(pair.first, pair.second)
        first, _ = toys.split(pair.first)
        toys.upper(first)
    assert links(w)["add.b"] == "split.second"
    assert links(w)["upper.thing"] == "split_2.first"


def test_inputs_that_grow_and_that_are_named_by_the_user():
    with Workflow() as w:
        a, b = toys.make("a"), toys.make("b")
        toys.join(a, b, glue="-")
        toys.join(*[a] * 3)
    nodes = w.document().nodes
    assert workflow.source_to_json(nodes["join"].inputs["things"]) == [{"from": "make.out"}, {"from": "make_2.out"}]
    assert len(workflow.source_to_json(nodes["join_2"].inputs["things"])) == 3


def test_what_is_written_is_read_back_the_same(tmp_path):
    with Workflow("Words", about="About words.") as w:
        word = w.parameter("word", "a", label="Word", group="Text", order=1)
        w.output("thing", toys.upper(toys.make(word)))
    w.save(tmp_path / "words.json")
    assert workflow.read(tmp_path / "words.json") == w.document()
    assert bind(w.document(), toys.registry()).outputs.keys() == {"thing"}


def test_a_parameter_sets_every_input_it_is_passed_to():
    with Workflow() as w:
        word = w.parameter("word", "a")
        toys.make(word)
        toys.make(text=word)
    assert w.document().parameters["word"].to == ("make.text", "make_2.text")
    assert w.document().nodes["make_2"].inputs["text"] == workflow.Value("a")


def test_a_parameter_that_must_be_given_says_only_its_type(make_session):
    with Workflow() as w:
        word = w.parameter("word", of=str)
        w.output("thing", toys.make(word))
    assert w.document().parameters["word"].required
    assert w.run(make_session(), word="b")["thing"].text == "b"
    with pytest.raises(WeftError, match="parameter 'word' is required"):
        w.run(make_session())


# --- running -------------------------------------------------------------------------------------------------------


def test_a_written_workflow_runs_and_only_what_changed_runs_again(session):
    with Workflow() as w:
        word = w.parameter("word", "a")
        thing = toys.upper(toys.make(word))
        w.output("thing", toys.add(thing, toys.make("z")))
    first = w.run(session)
    assert first["thing"].text == "Az"
    assert first.ran == ["add", "make", "make_2", "upper"]
    assert w.run(session).ran == []
    changed = w.run(session, word="b")
    assert (changed["thing"].text, changed.ran) == ("Bz", ["add", "make", "upper"])


def test_a_plan_says_what_would_run(session):
    with Workflow() as w:
        word = w.parameter("word", "a")
        w.output("thing", toys.upper(toys.make(word)))
    assert [step.status for step in w.plan(session).steps] == ["run", "run"]
    w.run(session)
    assert [step.status for step in w.plan(session, word="b").steps] == ["run", "run"]
    assert w.plan(session).count("run") == 0


def test_nodes_of_a_script_run_without_being_a_pack(make_session):
    from engine.registry import make_registry

    with Workflow() as w:
        w.output("thing", toys.upper(toys.make("a")))
    assert w.run(make_session(registry=make_registry([])))["thing"].text == "A"


def test_a_run_inside_the_block_runs(session):
    with Workflow() as w:
        w.output("thing", toys.make("a"))
        assert w.run(session)["thing"].text == "a"
        assert isinstance(toys.make("b"), Wire)


def test_map_runs_a_function_once_for_each_item(session):
    def loud(text: str, times: int) -> toys.Thing:
        return toys.upper(toys.make(text), times)

    with Workflow() as w:
        words = w.parameter("words", ["a", "b"])
        things = w.map(loud, text=words, times=2)
        w.output("all", toys.join(*[things]))
    assert w.run(session)["all"].text == "AABB"
    again = w.run(session, words=["a", "c"])
    assert again["all"].text == "AACC"
    assert again.ran == ["join", "loud/1/make", "loud/1/upper"]


def test_a_mapped_function_may_use_what_is_around_it(session):
    with Workflow() as w:
        glue = w.parameter("glue", "-")
        tail = toys.make("z")

        def ended(text: str) -> toys.Thing:
            return toys.join(toys.make(text), tail, tail, glue=glue)

        w.output("all", toys.join(*[w.map(ended, text=["a", "b"])]))
    assert w.check() == []
    assert w.run(session)["all"].text == "a-z-zb-z-z"
    assert w.run(session, glue="+")["all"].text == "a+z+zb+z+z"


def test_a_mapped_function_may_map(session):
    with Workflow() as w:
        tail = toys.make("z")

        def pair(text: str) -> toys.Thing:
            def one(end: str) -> toys.Thing:
                return toys.join(toys.make(text), toys.make(end), tail)

            return toys.join(*[w.map(one, end=["1", "2"])])

        w.output("all", toys.join(*[w.map(pair, text=["a", "b"])]))
    assert w.run(session)["all"].text == "a1za2zb1zb2z"


# --- wrong wiring --------------------------------------------------------------------------------------------------


def test_a_wire_that_does_not_fit_is_told_at_the_call():
    with Workflow():
        toys.convert(toys.other("b"))
        other = toys.other("a")
        told = wrong(lambda: toys.upper(other))
        assert "takes Thing, but 'other_2' gives Other -> put 'toy.convert' between them" in told


def test_a_value_that_does_not_fit_is_told_at_the_call():
    with Workflow():
        thing = toys.make("a")
        assert "'size' must be at least 0, got -1" in wrong(lambda: toys.make("a", size=-1))
        assert "'times' needs a whole number, got 1.5" in wrong(lambda: toys.upper(thing, 1.5))
        assert "takes a wire that carries Thing, not a typed value" in wrong(lambda: toys.upper("a"))


def test_arguments_that_are_missing_unknown_or_too_many_are_told_at_the_call():
    with Workflow():
        thing = toys.make("a")
        assert "'toy.upper' needs 'thing': Thing" in wrong(lambda: toys.upper())
        assert "has no input 'timez'. Did you mean 'times'?" in wrong(lambda: toys.upper(thing, timez=1))
        assert "takes 2 arguments, got 3" in wrong(lambda: toys.upper(thing, 1, 2))
        assert "got 'thing' twice" in wrong(lambda: toys.upper(thing, thing=thing))


def test_several_wires_where_one_is_wanted_are_told_at_the_call():
    with Workflow() as w:
        pair = toys.split(toys.make("ab"))
        assert "use .first, .second" in wrong(lambda: toys.upper(pair))
        assert "choose one of .first, .second" in wrong(lambda: w.output("x", pair))


def test_a_wire_has_no_value_to_look_at():
    with Workflow():
        thing = toys.make("a")
        looks = [lambda: bool(thing), lambda: list(thing), lambda: thing.text, lambda: thing[0], lambda: len(thing)]
        for look in looks:
            with pytest.raises(WiringError, match="has no value while the graph is written"):
                look()


def test_a_wire_of_another_workflow_is_told_at_the_call():
    with Workflow():
        thing = toys.make("a")
    with Workflow():
        assert "belongs to another workflow" in wrong(lambda: toys.upper(thing))


def test_parameters_that_are_wrong_are_told_at_the_call():
    with Workflow() as w:
        word = w.parameter("word", "a")
        assert "there is a parameter 'word' already" in wrong(lambda: w.parameter("word", "b"))
        assert "needs a default or a type" in wrong(lambda: w.parameter("x"))
        assert "a parameter has no 'grup'. Did you mean 'group'?" in wrong(lambda: w.parameter("x", 1, grup="y"))
        assert "takes int, but the parameter 'word' is str" in wrong(lambda: toys.upper(toys.make("a"), word))


def test_names_that_are_taken_or_impossible_are_told_at_the_call():
    with Workflow() as w:
        toys.make("a")
        second = toys.make("b")
        assert "there is another node of this name" in wrong(lambda: w.name("make", second))
        assert "use one without '.', '/' and '#'" in wrong(lambda: w.name("a.b", second))


# --- the door ------------------------------------------------------------------------------------------------------


def test_the_door_opens_without_a_tensor_library():
    code = (
        "import sys\nfrom engine import Workflow, Session, node\n"
        "@node('word.say', light=True)\ndef say(text: str = 'a') -> str:\n    'Says.'\n    return text\n"
        "with Workflow('w') as w:\n    w.output('said', say('b'))\n"
        "assert say('c') == 'c'\nassert w.run()['said'] == 'b'\n"
        "print(*({'torch', 'diffusers', 'transformers', 'peft', 'numpy', 'PIL'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


SAMPLE = """\
from engine import Workflow
from nodes.guidance import classifier_free_guidance
from nodes.image.adjust import blur
from nodes.load import model
from nodes.mask import invert, solid

with Workflow("typed") as w:
    seed = w.parameter("seed", 7)
    loaded = model("starter/unet")
    mask = invert(solid(64, 64))
    blur(mask)  # wrong: a mask is no image
    classifier_free_guidance(scale="high")  # wrong: text is no number
    loaded.clip  # wrong: there is no such output
    invert(w.name("second", mask))
"""


def test_a_type_checker_finds_three_of_three_wrong_calls(tmp_path):
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", sample]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [int(line) for line in re.findall(r"sample\.py:(\d+): error", done.stdout)]
    expected = [number for number, line in enumerate(SAMPLE.splitlines(), 1) if "# wrong" in line]
    assert found == expected, done.stdout + done.stderr
