import pytest
import torch

from engine import workflow as workflows
from engine.errors import WeftError
from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from engine.sockets import Ref
from nodes import load, mask, text
from nodes.image.tiles import Box
from nodes.types import Conditioning, Control, ControlItem, ControlNet, Entry, Image, Weights
from nodes.upscale.tiled import _cut_hints, _cut_prompts, facts, tiled


@pytest.fixture(scope="module")
def session(tmp_path_factory, models, tiny_sd1):
    home = tmp_path_factory.mktemp("home")
    (home / "input").mkdir()
    levels = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()
    import PIL.Image

    PIL.Image.fromarray(levels).save(home / "input" / "a.png")
    changed = levels.copy()
    changed[:8, :8] = 255 - changed[:8, :8]
    PIL.Image.fromarray(changed).save(home / "input" / "b.png")
    places = Places(home=home, model_folders=(models,))
    made = Session(
        places=places,
        records=Records(),
        memory=Memory({"cpu": 2**34}),
        numerics=Numerics(device="cpu"),
        registry=load_registry(),
    )
    yield made
    made.close()


FLOW = workflows.from_json(
    {
        "weft": 1,
        "nodes": {
            "load": {"type": "load.model", "inputs": {"model": "tiny-sd1"}},
            "prompt": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "a cube"}},
            "picture": {"type": "image.load", "inputs": {"name": "a.png"}},
            "larger": {
                "type": "upscale.tiled",
                "inputs": {
                    "image": {"from": "picture.image"},
                    "model": {"from": "load.model"},
                    "vae": {"from": "load.vae"},
                    "positive": {"from": "prompt.conditioning"},
                    "factor": 2.0,
                    "tile": 64,
                    "overlap": 16,
                    "steps": 2,
                    "cfg": 1.0,
                    "denoise": 0.5,
                },
            },
        },
        "outputs": {"image": "larger.image"},
    }
)


def denoised(result):
    """How many tiles were denoised."""
    return sum(event.kind == "step_finished" and event.path == "larger/sample" for event in result.events)


def test_a_large_picture_is_denoised_tile_by_tile_and_one_that_stayed_is_not_made_again(session):
    first = session.run(FLOW)
    assert first.problems == ()
    assert first["image"].pixels.shape == (1, 128, 128, 3)
    assert denoised(first) == 9
    again = session.run(FLOW, {"picture.name": "b.png"})
    assert denoised(again) == 1, "only the corner is another picture"
    near, far = (slice(0, 60), slice(68, 128))
    assert not torch.equal(again["image"].pixels[:, near, near], first["image"].pixels[:, near, near])
    assert torch.equal(again["image"].pixels[:, far, far], first["image"].pixels[:, far, far])


def test_at_strength_zero_the_tiles_are_the_enlarged_picture_as_the_vae_sees_it(session):
    one = session.run(FLOW, {"larger.denoise": 0.0, "larger.tile": 256})["image"].pixels
    many = session.run(FLOW, {"larger.denoise": 0.0})["image"].pixels
    assert one.shape == many.shape
    assert (one - many).abs().mean() < 0.1, "tiles differ only in what a normalisation sees"


def test_a_size_that_is_no_whole_number_of_cells_comes_out_as_asked(session):
    made = session.run(FLOW, {"larger.factor": 1.3})
    assert made["image"].pixels.shape == (1, 83, 83, 3)
    image = Image(torch.zeros(1, 64, 64, 3))
    assert facts(image=image, factor=1.3)["image"] == {"batch": 1, "width": 83, "height": 83}
    assert facts(image=Ref("later"), factor=2.0)["image"] == {}


def test_masks_and_hints_are_cut_like_the_picture():
    pixels = torch.zeros(1, 32, 32, 3)
    left = mask.rectangle(16, 16, 0, 0, 8, 16)
    near, far = Entry(torch.zeros(1, 1, 4), mask=left), Entry(torch.ones(1, 1, 4))
    prompts = Conditioning((near, far))
    inside = _cut_prompts(prompts, Box(0, 0, 16, 16), pixels, "positive").entries
    assert inside[0].mask.alpha.shape == (1, 16, 16)
    assert float(inside[0].mask.alpha[..., :-1].min()) == 1
    assert [entry.mask for entry in _cut_prompts(prompts, Box(0, 20, 16, 32), pixels, "positive").entries] == [None]
    alone = _cut_prompts(Conditioning((near,)), Box(0, 20, 16, 32), pixels, "positive").entries
    assert [entry.mask for entry in alone] == [None]
    ramp = Image(torch.linspace(0, 1, 32).view(1, 1, 32, 1).expand(1, 32, 32, 3).contiguous())
    control = Control((ControlItem(ControlNet(Weights("a", "controlnet", ""), "sd1"), ramp),))
    hint = _cut_hints(control, Box(0, 8, 16, 24), pixels).items[0].image
    assert torch.equal(hint.pixels, ramp.pixels[:, :16, 8:24])


def test_a_prompt_with_an_area_is_refused():
    prompts = Conditioning((Entry(torch.zeros(1, 1, 4), area=(0, 0, 0.5, 0.5)),))
    with pytest.raises(WeftError, match="cannot be cut into tiles") as caught:
        _cut_prompts(prompts, Box(0, 0, 8, 8), torch.zeros(1, 8, 8, 3), "negative")
    assert caught.value.problem.where.socket == "negative"


def test_outside_an_engine_it_says_what_it_needs(home, tiny_sd1):
    model, encoder, vae = load.model("tiny-sd1")
    with pytest.raises(WeftError, match="needs an engine"):
        tiled(Image(torch.zeros(1, 32, 32, 3)), model, vae, text.encode(encoder, "a"), cfg=1.0)
