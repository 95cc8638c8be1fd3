"""The file: whatever is read is written so that it reads the same; every mend makes progress."""

import json
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import WeftError
from engine.graph import check
from engine.workflow import apply_edits, dumps, from_json, parse, to_json
from tests.engine import toys
from tests.properties.flows import worlds

REGISTRY = toys.registry()

names = st.text(string.ascii_letters + "äß中 _-1", min_size=1, max_size=6)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
links = st.builds(lambda node, out: {"from": f"{node}.{out}" if out else node}, names, st.just("") | names)
sources = plain | links | st.lists(links, min_size=1, max_size=3) | anything.map(lambda value: {"value": value})
nodes = st.fixed_dictionaries(
    {"type": names.map(lambda name: f"x.{name}"), "inputs": st.dictionaries(names, sources, max_size=3)},
    optional={
        "version": st.integers(1, 9),
        "title": st.text(max_size=5),
        "mode": st.sampled_from(["mute", "bypass"]),
        "extra": anything,
    },
)
nets = st.fixed_dictionaries(
    {"nodes": st.dictionaries(names, nodes, max_size=4)},
    optional={
        "parameters": st.dictionaries(
            names,
            st.fixed_dictionaries(
                {"to": st.lists(names.map(lambda n: f"{n}.x"), max_size=2)},
                optional={"default": anything, "required": st.booleans(), "group": anything},
            ),
            max_size=2,
        ),
        "outputs": st.dictionaries(names, names, max_size=2),
    },
)
files = st.builds(
    lambda net, graphs, more: {"weft": 1, **net, **({"graphs": graphs} if graphs else {}), **more},
    nets,
    st.dictionaries(names, nets, max_size=2),
    st.fixed_dictionaries(
        {},
        optional={
            "title": st.text(max_size=8),
            "view": st.dictionaries(names, anything, max_size=2),
            "future": anything,
        },
    ),
)


@settings(max_examples=150, deadline=None)
@given(record=files)
def test_what_is_written_reads_the_same_and_writes_the_same(record):
    work = from_json(json.loads(json.dumps(record)))
    text = dumps(work)
    again = parse(text)
    assert dumps(again) == text
    assert to_json(again) == to_json(work)
    text.encode()  # it can always be saved


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=60)
    | st.text(alphabet='{}[]":,0123456789eE.+-nulltrue \n', max_size=60)
    | anything.map(json.dumps)
)
def test_no_text_is_more_than_a_clear_error(text):
    try:
        parse(text)
    except WeftError as error:
        assert all(problem.line() and "\n" not in problem.line() for problem in error.problems)


@st.composite
def mistaken(draw):
    """A workflow with mistakes that have a mend with edits."""
    record = draw(worlds(most=4)).record()
    made = record["nodes"]
    for index in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(made)))
        inputs = dict(made[name]["inputs"])
        match draw(st.sampled_from(["nowhere", "unknown", "type"])):
            case "nowhere":
                sockets = [socket for socket, source in inputs.items() if isinstance(source, dict)]
                if sockets:
                    inputs[draw(st.sampled_from(sockets))] = {"from": "gone"}
            case "unknown":
                if made[name]["type"] not in ("switch", "map"):
                    inputs["no such input"] = 1
            case "type":
                sockets = [s for s in inputs if s in ("thing", "a", "b", "extra") and made[name]["type"] != "switch"]
                if sockets:
                    made[f"other{index}"] = {"type": "toy.other", "inputs": {}}
                    inputs[draw(st.sampled_from(sockets))] = {"from": f"other{index}"}
        made[name] = {**made[name], "inputs": inputs}
    return record


@settings(max_examples=60, deadline=None)
@given(record=mistaken())
def test_a_mend_that_is_applied_mends(record):
    """Each mend with edits takes its problem away, and so all of them end."""
    work = from_json(record)
    for _ in range(30):
        found = check(work, REGISTRY)
        mend = next((problem for problem in found if problem.mend and problem.mend.edits), None)
        if mend is None:
            break
        work = apply_edits(work, mend.mend.edits)
        left = check(work, REGISTRY)
        assert (mend.code, mend.where.path, mend.where.socket) not in [
            (p.code, p.where.path, p.where.socket) for p in left
        ]
    else:
        raise AssertionError(f"mends go round in circles: {[p.line() for p in found]}")
    # What is left after a wire to nowhere was taken out is at most an input, or a map, that wants one.
    left = [p for p in check(work, REGISTRY) if "no list to go over" not in p.message]
    assert {problem.code for problem in left} <= {"graph.missing_input"}
