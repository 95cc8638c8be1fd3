"""Flux.1, bit for bit what diffusers' pipelines give on the same weights."""

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FluxImg2ImgPipeline, FluxPipeline

from engine.errors import WeftError
from nodes import guidance, lora, text, vae
from nodes.denoise import sample
from nodes.families.flux import pack, unpack
from nodes.types import Latent, Schedule
from tests.nodes.families.test_adapters import make_lora
from tests.parity.test_parity import PROMPT, SEED, STEPS, Ours, common, scheduler, theirs

pytestmark = pytest.mark.usefixtures("home", "tiny_flux", "tiny_schnell")
TOKENS = {"tiny-flux": 512, "tiny-schnell": 256}


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


class Flux(Ours):
    """Everything loaded through the nodes; 32 x 32 cells."""

    def __init__(self, name: str) -> None:
        from nodes import load

        self.name, self.cells = name, 32
        self.model, self.encoder, self.vae = load.model(name)
        self.positive, self.negative = text.encode(self.encoder, PROMPT), None

    def sample(self, latent: Latent, **inputs) -> torch.Tensor:
        return super().sample(latent, **{"cfg": 1.0, "scheduler": "simple", **inputs})

    def pipe(self, cls=FluxPipeline):
        return theirs(cls, self.name)

    def reference(self, pipe, batch: int = 1, size: tuple[int, int] = (64, 64), **more) -> torch.Tensor:
        given = {"width": size[0], "height": size[1], "max_sequence_length": TOKENS[self.name], "guidance_scale": 3.5}
        drawn = pipe(**common(batch, negative_prompt=None, **given | more)).images
        return unpack(drawn, size[1] // 2, size[0] // 2)


@pytest.fixture(params=TOKENS)
def ours(request) -> Flux:
    return Flux(request.param)


@pytest.mark.parametrize("batch", [1, 3])
def test_text_to_image_is_the_pipelines_bit_for_bit(ours, batch):
    assert torch.equal(ours.sample(ours.canvas(batch)), ours.reference(ours.pipe(), batch))


def test_times_are_shifted_by_the_pictures_size_as_the_pipeline_does(ours):
    canvas = Latent(torch.zeros(1, 16, 24, 40), ours.model.space)
    assert torch.equal(ours.sample(canvas), ours.reference(ours.pipe(), size=(80, 48)))


def test_a_shift_that_is_said_takes_the_place_of_the_one_by_size():
    ours, pipe = Flux("tiny-flux"), theirs(FluxPipeline, "tiny-flux")
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, use_dynamic_shifting=False, shift=2.0)
    mine = ours.sample(ours.canvas(), schedule=Schedule("euler", "simple", STEPS, options=(("shift", 2.0),)))
    assert torch.equal(mine, ours.reference(pipe))
    assert not torch.equal(mine, ours.sample(ours.canvas()))


@pytest.mark.parametrize("scale", [1.0, 3.5, 8.0])
def test_embedded_guidance_is_the_pipelines_scale(scale):
    ours = Flux("tiny-flux")
    mine = ours.sample(ours.canvas(), guidance=guidance.embedded(scale))
    assert torch.equal(mine, ours.reference(ours.pipe(), guidance_scale=scale))
    assert torch.equal(mine, ours.sample(ours.canvas())) == (scale == 3.5), "what it is told unless something is wired"


def test_another_solver_is_the_pipelines_with_it():
    """For dev: the pipeline cannot run another solver where times are not shifted by size."""
    ours = Flux("tiny-flux")
    pipe = ours.pipe()
    pipe.scheduler = scheduler(ours, "dpmpp_2m", "simple")
    assert isinstance(pipe.scheduler, DPMSolverMultistepScheduler)
    assert torch.equal(ours.sample(ours.canvas(), sampler="dpmpp_2m"), ours.reference(pipe))


@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
def test_image_to_image_scaled_is_the_pipelines(ours, strength):
    pipe, start = ours.pipe(FluxImg2ImgPipeline), ours.picture()
    mine = ours.sample(start, schedule=Schedule("euler", "simple", STEPS, strength, "scaled"))
    assert torch.equal(mine, ours.reference(pipe, image=start.samples, strength=strength))


def test_the_decoded_pictures_are_the_pipelines_byte_for_byte(ours):
    inputs = {"seed": SEED, "steps": STEPS, "cfg": 1.0, "scheduler": "simple"}
    mine = vae.decode(ours.vae, sample(ours.model, ours.positive, ours.canvas(2), **inputs).latent).pil()
    given = {"width": 64, "height": 64, "max_sequence_length": TOKENS[ours.name], "guidance_scale": 3.5}
    reference = ours.pipe()(**common(2, output_type="pil", negative_prompt=None, **given)).images
    assert [picture.tobytes() for picture in mine] == [picture.tobytes() for picture in reference]


def test_the_embedding_is_the_pipelines(ours):
    pipe = ours.pipe()
    for prompt in ("", "a red cube on the left of a sphere"):
        hidden, pooled, _ = pipe.encode_prompt(prompt, None, max_sequence_length=TOKENS[ours.name])
        entry = text.encode(ours.encoder, prompt).entries[0]
        assert torch.equal(entry.embedding, hidden)
        assert torch.equal(entry.pooled, pooled)


@pytest.mark.parametrize("naming", ["diffusers", "kohya"])
def test_a_lora_is_the_pipelines(home, naming):
    ours = Flux("tiny-flux")
    folder, pipe = home.home / "models" / "loras", ours.pipe()
    module = ours.model.build("cpu", "float32")
    if naming == "diffusers":
        made = make_lora(folder / "mine", module, 7, prefix="transformer")
    else:
        (folder / "mine").mkdir(parents=True)
        made = kohya(folder / "mine" / "pytorch_lora_weights.safetensors", module)
    pipe.load_lora_weights(folder / "mine")
    plain = ours.sample(ours.canvas())
    ours.model = lora.apply(ours.model, lora.load("mine")).model
    mine = ours.sample(ours.canvas())
    assert made.exists()
    assert torch.equal(mine, ours.reference(pipe))
    assert not torch.equal(mine, plain)


def kohya(path, module):
    """A file as kohya's scripts name it, over the layers of the first Flux code, where q, k and v are one."""
    from safetensors.torch import save_file

    torch.manual_seed(8)
    width = module.inner_dim
    sizes = {"double_blocks_0_img_attn_qkv": 3 * width, "double_blocks_0_img_attn_proj": width}
    state = {}
    for name, out in sizes.items():
        state[f"lora_unet_{name}.lora_down.weight"] = torch.randn(4, width)
        state[f"lora_unet_{name}.lora_up.weight"] = torch.randn(out, 4)
        state[f"lora_unet_{name}.alpha"] = torch.tensor(2.0)
    save_file(state, path)
    return path


@pytest.mark.parametrize(("name", "mend"), [("tiny-flux", "or wire guidance.embedded"), ("tiny-schnell", "to 1")])
def test_guiding_twice_is_refused_with_the_reason(name, mend):
    ours = Flux(name)
    with pytest.raises(WeftError, match="distilled with guidance inside it; a scale of 4 would guide it twice") as told:
        ours.sample(ours.canvas(), cfg=4.0)
    assert told.value.problem.mend.text.endswith(mend)
    assert told.value.problem.where.socket == "cfg"


def test_schnell_takes_no_scale_at_all():
    ours = Flux("tiny-schnell")
    with pytest.raises(WeftError, match="takes no guidance scale as an input"):
        ours.sample(ours.canvas(), guidance=guidance.embedded(3.5))


def test_packing_is_the_pipelines_and_undone_exactly():
    x = torch.randn(2, 16, 6, 10)
    packed = pack(x)
    assert torch.equal(packed, FluxPipeline._pack_latents(x, 2, 16, 6, 10))
    assert torch.equal(unpack(packed, 6, 10), x)
