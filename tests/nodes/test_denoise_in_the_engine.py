"""The sampling loop inside the engine: late changes go on from the known steps, what does not fit never runs."""

import json

import pytest
import torch

from engine import workflow
from engine.disk import Disk
from engine.errors import WeftError
from engine.events import StepStarted
from engine.memory import Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session
from nodes.schedule import pairs

STEPS = 10


def flow(**change):
    """Two prompts, guidance of its own, a picture; `change` replaces a node's inputs."""
    nodes = {
        "load": ("load.model", {"model": "tiny-sd1"}),
        "red": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}),
        "blue": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": "a blue cube"}),
        "late": ("text.place", {"conditioning": {"from": "blue.conditioning"}, "start": 0.5}),
        "both": ("text.combine", {"conditionings": [{"from": "red.conditioning"}, {"from": "late.conditioning"}]}),
        "empty": ("text.encode", {"encoder": {"from": "load.text_encoder"}, "text": ""}),
        "canvas": ("latent.empty", {"model": {"from": "load.model"}, "width": 64, "height": 64}),
        "guide": ("guidance.cfg", {"scale": 5.0}),
        "sample": (
            "denoise.sample",
            {
                **{"model": {"from": "load.model"}, "latent": {"from": "canvas.latent"}, "steps": STEPS, "seed": 1},
                **{"positive": {"from": "both.conditioning"}, "negative": {"from": "empty.conditioning"}},
                **{"guidance": {"from": "guide.guidance"}, "sampler": "euler_ancestral"},
            },
        ),
    }
    record = {
        "weft": 1,
        "nodes": {
            name: {"type": kind, "version": 1, "inputs": {**inputs, **change.get(name, {})}}
            for name, (kind, inputs) in nodes.items()
        },
        "outputs": {"latent": "sample.latent"},
    }
    return workflow.parse(json.dumps(record))


@pytest.fixture
def make(home):
    made = []

    def session() -> Session:
        numerics = Numerics(device="cpu", threads=1)
        made.append(Session(places=home, memory=Memory(), records=Records(), numerics=numerics, paranoid=True))
        return made[-1]

    yield session
    for one in made:
        one.close()


def run(session: Session, **change):
    """(latent, the paths that ran, how many steps were known already)."""
    diary = []
    result = session.run(flow(**change), on_event=diary.append)
    known = [event.resumed for event in diary if isinstance(event, StepStarted) and event.path == "sample"]
    return result.outputs["latent"].samples, result.ran, known


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"guide": {"scale": 5.0, "stop": 0.7}}, 7),
        ({"late": {"conditioning": {"from": "blue.conditioning"}, "start": 0.8}}, 5),
        ({"guide": {"scale": 6.0}}, 0),
    ],
)
def test_a_late_change_goes_on_from_the_known_steps_and_gives_what_a_clean_run_gives(make, tiny_sd1, change, known):
    session = make()
    first, ran, _ = run(session)
    assert ran == ["blue", "canvas", "empty", "red", "sample"]
    again, ran, resumed = run(session, **change)
    assert (ran, resumed) == (["sample"], [known])
    clean, _, _ = run(make(), **change)
    assert torch.equal(again, clean)
    assert not torch.equal(again, first)


@pytest.fixture
def forwards():
    """The denoisers' forwards, as torch counts them."""
    counted = []

    def count(module, inputs):
        if type(module).__name__ in ("UNet2DConditionModel", "SD3Transformer2DModel"):
            counted.append(module)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    yield counted
    hook.remove()


# One spacing of each sampler, for a diffusion and for a flow model.
CELLS = {(sampler, flow): spacing for flow in (True, False) for sampler, spacing in reversed(pairs(flow))}


@pytest.mark.parametrize(
    ("sampler", "matching"), CELLS, ids=lambda part: {True: "flow", False: "diffusion"}.get(part, part)
)
def test_after_a_restart_a_late_change_costs_the_remaining_forwards_and_is_bit_equal(
    home, tiny_sd1, tiny_sd3, forwards, sampler, matching
):
    model = "tiny-sd3" if matching else "tiny-sd1"
    more = {
        "load": {"model": model},
        "sample": {"sampler": sampler, "scheduler": CELLS[sampler, matching]},
        "canvas": {"width": 64, "height": 64},
    }
    late = {**more, "guide": {"scale": 5.0, "stop": 0.7}}

    def session(keeps: bool) -> Session:
        lower = Disk(home.home / "cache", {"engine", "nodes"}, quick=0.0) if keeps else None
        made = Session(
            places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1), lower=lower
        )
        made.engine.checkpoints.spacing = made.engine.checkpoints.share = 0.0
        return made

    with session(True) as first:
        first.run(flow(**more))
    with session(False) as clean:
        forwards.clear()
        expected = run(clean, **late)[0]
        whole = len(forwards)
    with session(True) as restarted:
        forwards.clear()
        plan = next(row for row in restarted.plan(flow(**late)).steps if row.path == "sample")
        found, _, known = run(restarted, **late)
    assert torch.equal(found, expected)
    assert known == [plan.resumed]
    assert 0.6 <= plan.resumed / plan.steps <= 0.7
    # One forward for each evaluation: both predictions share it while guidance acts, and later there is but one.
    assert (whole, len(forwards)) == (plan.steps, plan.steps - plan.resumed)


# --- everything that may take part in a picture, and what of it may change late -----------------------------------


def wired(more, **sample):
    """The flow with further nodes, and other inputs of its sampler."""
    record = json.loads(workflow.dumps(flow()))
    for name, (kind, inputs) in more.items():
        record["nodes"][name] = {"type": kind, "version": 1, "inputs": inputs}
    record["nodes"]["sample"]["inputs"].update(sample)
    return record


def of(name: str):
    return {"from": name}


PICTURE = {
    "scene": ("image.load", {"name": "scene.png"}),
    "drawn": ("vae.encode", {"vae": of("load.vae"), "image": of("scene.image")}),
}
HINT = {
    "scene": PICTURE["scene"],
    "net": ("control.load", {"controlnet": "tiny-canny"}),
    "hold": ("control.apply", {"controlnet": of("net.controlnet"), "image": of("scene.image"), "start": 0.6}),
}
HOLE = {**PICTURE, "hole": ("mask.ellipse", {"width": 64, "height": 64})}
HOLE["spared"] = ("latent.set_mask", {"latent": of("drawn.latent"), "mask": of("hole.mask")})
LATER = {"guide": {"stop": 0.7}}

# name: (the workflow, what changes late, how many steps are known then)
FEATURES = {
    "a control net that begins late": (wired(HINT, control=of("hold.control")), {"hold": {"strength": 0.3}}, 6),
    "a control net that ends": (
        wired({**HINT, "hold": ("control.apply", {**HINT["hold"][1], "start": 0.0})}, control=of("hold.control")),
        {"hold": {"end": 0.4}},
        4,
    ),
    "a picture that is redrawn": (wired(PICTURE, latent=of("drawn.latent"), denoise=0.6), LATER, None),
    "a hole that is filled": (wired(HOLE, latent=of("spared.latent")), LATER, 7),
    "guidance that remembers": (
        wired({"apg": ("guidance.apg", {"scale": 6.0, "momentum": -0.5})}, guidance=of("apg.guidance")),
        {"late": {"start": 0.8}},
        5,
    ),
    "the second of two stages": (
        wired(
            {
                "base": ("denoise.sample", {**wired({})["nodes"]["sample"]["inputs"], "guidance": of("soft.guidance")}),
                "soft": ("guidance.cfg", {"scale": 4.0}),
            },
            latent=of("base.latent"),
            start_step=4,
            add_noise=False,
        ),
        LATER,
        3,
    ),
}
FEATURES["the second of two stages"][0]["nodes"]["base"]["inputs"]["stop_step"] = 4


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m"])
@pytest.mark.parametrize("feature", FEATURES)
def test_with_whatever_takes_part_a_late_change_after_a_restart_is_bit_equal_and_costs_the_rest(
    home, tiny_sd1, tiny_controlnet, forwards, feature, sampler
):
    from PIL import Image as Pictures

    record, change, known = FEATURES[feature]
    scene = home.home / "input" / "scene.png"
    scene.parent.mkdir(parents=True, exist_ok=True)
    Pictures.effect_mandelbrot((64, 64), (-2, -1.2, 1, 1.2), 40).convert("RGB").save(scene)

    def work(change):
        made = json.loads(json.dumps(record))
        for name in {"sample", "base"} & made["nodes"].keys():
            made["nodes"][name]["inputs"]["sampler"] = sampler
        for name, inputs in change.items():
            made["nodes"][name]["inputs"].update(inputs)
        return workflow.parse(json.dumps(made))

    def session(keeps: bool) -> Session:
        lower = Disk(home.home / "cache", {"engine", "nodes"}, quick=0.0) if keeps else None
        records = Records(home.home / "records.sqlite" if keeps else None)
        made = Session(places=home, memory=Memory(), records=records, numerics=Numerics("cpu", threads=1), lower=lower)
        made.engine.checkpoints.spacing = made.engine.checkpoints.share = 0.0
        return made

    with session(True) as first:
        before = first.run(work({}))
        assert before.state == "succeeded", before.problems
    with session(False) as clean:
        expected = clean.run(work(change))["latent"].samples
    with session(True) as restarted:
        plan = next(row for row in restarted.plan(work(change)).steps if row.path == "sample")
        forwards.clear()
        again = restarted.run(work(change))
    (begun,) = [event for event in again.events if isinstance(event, StepStarted) and event.path == "sample"]
    assert torch.equal(again["latent"].samples, expected)
    assert not torch.equal(expected, before["latent"].samples)
    assert begun.resumed == plan.resumed > 0 and (known is None or known == plan.resumed)
    assert again.ran == ["sample"] or again.ran == ["hold", "sample"]
    assert len(forwards) == plan.steps - plan.resumed


def test_an_unchanged_run_runs_nothing(make, tiny_sd1):
    session = make()
    run(session)
    assert run(session)[1] == []


def test_conditioning_of_another_model_is_an_error_on_the_socket_and_nothing_runs(make, tiny_sd1, tiny_sd3):
    wrong = {
        "late": {"conditioning": {"from": "red.conditioning"}},
        "empty": {"encoder": {"from": "load.text_encoder"}},
        "load": {"model": "tiny-sd1"},
    }
    record = workflow.to_json(flow(**wrong))
    record["nodes"]["other"] = {"type": "load.model", "version": 1, "inputs": {"model": "tiny-sd3"}}
    record["nodes"]["empty"]["inputs"]["encoder"] = {"from": "other.text_encoder"}
    diary = []
    with pytest.raises(WeftError) as caught:
        make().run(workflow.from_json(record), on_event=diary.append)
    problem = caught.value.problem
    assert (problem.code, problem.where.path, problem.where.socket) == ("facts.mismatch", "sample", "negative")
    assert not any(isinstance(event, StepStarted) for event in diary)


def test_what_does_not_fit_is_denoised_in_a_leaner_way_and_says_so(home, tiny_sd1):
    """Guidance in two forwards first, then one picture at a time: near the exact result, under other ids."""
    from engine.events import StepRetried
    from tests.nodes.families.test_in_the_engine import flow

    asked = []

    class Small(Memory):
        most = 10**12

        def lease(self, recipe, device, dtype, working_bytes=0, check=None):
            if type(recipe).__name__ == "Denoiser":
                asked.append(working_bytes)
                if working_bytes > self.most:
                    raise RuntimeError("out of memory")
            return super().lease(recipe, device, dtype, working_bytes, check)

    work = flow("tiny-sd1", canvas={"batch": 2})
    memory = Small({"cpu": 10**9})
    with Session(places=home, memory=memory, records=Records(), numerics=Numerics("cpu", threads=1)) as session:
        exact = session.run(work)
        whole = asked[-1]
        session.engine.cache.clear()
        memory.most = whole // 4
        lean = session.run(work)
    told = [event.how for event in lean.events if isinstance(event, StepRetried) and event.numerics_changed]
    assert [how.split(",")[0] for how in told] == ["with guidance in two forwards", "with one picture at a time"]
    assert asked[-1] == whole // 4 and lean.state == "succeeded"
    assert (lean["image"].pixels - exact["image"].pixels).abs().max() < 1e-3
    ids = [next(e.outputs for e in reversed(one.events) if hasattr(e, "outputs")) for one in (exact, lean)]
    assert ids[0] != ids[1]


def test_a_sweep_of_eight_over_what_acts_late_costs_less_than_two_fifths_of_the_forwards(make, tiny_sd1, forwards):
    """20 steps, a second prompt from 70 %: 20 + 7 * 6 forwards instead of 8 * 20, each bit-equal to its own run."""
    texts = [f"a blue cube {number}" for number in range(8)]
    changes = {"late": {"start": 0.7}, "sample": {"steps": 20}}
    session = make()
    swept = [run(session, **changes, blue={"text": text}) for text in texts]
    assert len(forwards) == 20 + 7 * 6
    assert 8 * 20 / len(forwards) >= 2.5
    assert [known for _, _, known in swept] == [[0]] + [[14]] * 7
    for index in (1, 7):
        assert torch.equal(run(make(), **changes, blue={"text": texts[index]})[0], swept[index][0])
