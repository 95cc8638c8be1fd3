"""What denoise.sample advises: the field's common mistakes, said before the run, and nothing about what is usual."""

import pytest

from engine.node import spec_of
from engine.sockets import Ref
from nodes.denoise import sample
from nodes.denoise.lints import advice
from nodes.types import Denoiser, Guidance, LatentSpace, Schedule, Weights, plain

USUAL = {"sampler": "euler", "scheduler": "normal", "steps": 20, "denoise": 1.0, "cfg": 7.0, "seed": 0}


def told(training=(), **inputs):
    model = Denoiser(
        Weights("w", "unet", ""), "sd1", LatentSpace("sd1", 4, 8), "v_prediction", training=plain(training)
    )
    return [(lint.code, lint.where.socket) for lint in advice(model=model, **{**USUAL, **inputs})]


def test_the_node_asks_for_it():
    assert spec_of(sample).lints == "nodes.denoise.lints:advice"


@pytest.mark.parametrize(
    "usual",
    [{}, {"cfg": 15.0}, {"sampler": "lcm", "steps": 8, "cfg": 2.0}, {"sampler": "ddim", "steps": 50, "cfg": 1.0}],
)
def test_what_is_usual_is_left_in_peace(usual):
    assert told({}, **usual) == []


@pytest.mark.parametrize(
    ("inputs", "lints"),
    [
        ({"cfg": 20.0}, [("lint.cfg_high", "cfg")]),
        ({"guidance": Guidance(20.0)}, [("lint.cfg_high", "guidance")]),
        ({"sampler": "lcm", "steps": 4}, [("lint.cfg_distilled", "cfg")]),
        ({"sampler": "tcd", "cfg": 1.0, "steps": 30}, [("lint.steps_many", "steps")]),
        ({"schedule": Schedule("lcm", "normal", 9), "cfg": 1.5}, [("lint.steps_many", "schedule")]),
    ],
)
def test_what_seldom_gives_what_was_meant_is_said_on_its_socket(inputs, lints):
    assert told({}, **inputs) == lints


def test_a_spacing_that_leaves_out_where_zero_snr_starts():
    zero = {"rescale_betas_zero_snr": True}
    assert told(zero, sampler="ddim") == [("lint.spacing_late", "scheduler")]
    assert told(zero, scheduler="ddim_uniform") == [("lint.spacing_late", "scheduler")]
    assert told(zero) == told(zero, sampler="ddim", scheduler="sgm_uniform") == []
    assert told({}, sampler="ddim") == []


def test_what_is_not_known_yet_is_not_judged():
    assert told({}, guidance=Ref("0" * 32), cfg=99.0) == []


def test_each_one_is_a_lint_with_a_mend_in_one_line():
    for lint in advice(model=Ref("0"), **{**USUAL, "sampler": "lcm", "cfg": 9.0}):
        assert lint.severity == "lint"
        assert lint.mend is not None
        assert "\n" not in lint.line()
