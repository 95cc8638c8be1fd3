"""SDXL, bit for bit what diffusers' pipelines give on the same weights."""

from dataclasses import replace

import pytest
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)

from nodes import control, guidance, load, lora, text, vae
from nodes.denoise import sample
from nodes.families.sdxl import SDXL
from nodes.types import Image, Latent, Schedule
from tests.nodes.conftest import make_sdxl
from tests.nodes.families.test_adapters import make_lora
from tests.parity.test_parity import CFG, NEGATIVE, PROMPT, SEED, STEPS, Ours, common, scheduler, theirs

pytestmark = pytest.mark.usefixtures("home", "tiny_sdxl")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def ours() -> Ours:
    return Ours("tiny-sdxl")


@pytest.fixture
def pipe(ours):
    made = theirs(StableDiffusionXLPipeline, "tiny-sdxl")
    made.scheduler = scheduler(ours, "euler")
    return made


@pytest.mark.parametrize(("sampler", "spacing"), [("euler", "normal"), ("dpmpp_2m", "karras"), ("ddim", "normal")])
def test_text_to_image_is_the_pipelines_bit_for_bit(ours, pipe, sampler, spacing):
    pipe.scheduler = scheduler(ours, sampler, spacing)
    mine = ours.sample(ours.canvas(), sampler=sampler, scheduler=spacing)
    assert torch.equal(mine, pipe(**common()).images)


def test_a_batch_is_the_pipelines_with_a_list_of_generators(ours, pipe):
    pipe.scheduler = scheduler(ours, "euler_ancestral")
    mine = ours.sample(ours.canvas(3), sampler="euler_ancestral")
    assert torch.equal(mine, pipe(**common(3)).images)


def test_without_guidance_it_is_the_pipelines_without_guidance(ours, pipe):
    assert torch.equal(ours.sample(ours.canvas(), cfg=1.0), pipe(**common(guidance_scale=1.0)).images)


def test_rescaled_guidance_is_the_pipelines(ours, pipe):
    mine = ours.sample(ours.canvas(), guidance=guidance.classifier_free_guidance(CFG, rescale=0.7))
    assert torch.equal(mine, pipe(**common(guidance_rescale=0.7)).images)


def test_the_decoded_pictures_are_the_pipelines_byte_for_byte(ours, pipe):
    drawn = sample(ours.model, ours.positive, ours.canvas(2), ours.negative, seed=SEED, steps=STEPS, cfg=CFG)
    mine = vae.decode(ours.vae, drawn.latent).pil()
    reference = pipe(**common(2, output_type="pil")).images
    assert [picture.tobytes() for picture in mine] == [picture.tobytes() for picture in reference]


def test_no_negative_prompt_is_zeros_as_the_pipeline_has_it(ours, pipe):
    ours.negative = text.zero(ours.negative)
    assert torch.equal(ours.sample(ours.canvas()), pipe(**common(negative_prompt=None)).images)


def test_clip_skip_is_the_pipelines_counted_from_one(ours, pipe):
    ours.positive = text.encode(ours.encoder, PROMPT, clip_skip=2)
    assert torch.equal(ours.sample(ours.canvas()), pipe(**common(clip_skip=1)).images)


def test_another_size_is_the_pipelines(ours, pipe):
    """The pipeline tells the model the new size by itself, and so do we."""
    canvas = Latent(torch.zeros(1, 4, 24, 40), ours.model.space)
    assert torch.equal(ours.sample(canvas), pipe(**common(width=80, height=48)).images)


def test_sizes_of_its_own_are_the_pipelines_micro_conditioning(ours, pipe):
    plain = ours.sample(ours.canvas())
    ours.positive = text.size(ours.positive, 512, 384, crop_x=8, crop_y=16, target_width=96, target_height=80)
    ours.negative = text.size(ours.negative, 32, 24, target_width=64, target_height=48)
    mine = ours.sample(ours.canvas())
    told = {"original_size": (384, 512), "crops_coords_top_left": (16, 8), "target_size": (80, 96)}
    told |= {"negative_original_size": (24, 32), "negative_target_size": (48, 64)}
    assert torch.equal(mine, pipe(**common(**told)).images)
    assert not torch.equal(mine, plain)


@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
def test_image_to_image_scaled_is_the_pipelines(ours, strength):
    pipe, start = theirs(StableDiffusionXLImg2ImgPipeline, "tiny-sdxl"), ours.picture(2)
    pipe.scheduler = scheduler(ours, "euler")
    mine = ours.sample(start, schedule=Schedule("euler", "normal", STEPS, strength, "scaled"))
    calls = common(2, image=start.samples, strength=strength, num_images_per_prompt=1) | embeddings(ours, 2)
    for key in ("prompt", "negative_prompt"):
        calls.pop(key)
    assert torch.equal(mine, pipe(**calls).images)


def embeddings(ours: Ours, batch: int) -> dict[str, torch.Tensor]:
    """The same embeddings for the pipeline: encoding two prompts at once would differ by rounding."""
    told = {}
    for side, prefix in ((ours.positive, ""), (ours.negative, "negative_")):
        entry = side.entries[0]
        told[f"{prefix}prompt_embeds"] = entry.embedding.repeat(batch, 1, 1)
        told[f"{prefix}pooled_prompt_embeds"] = entry.pooled.repeat(batch, 1)
    return told


@pytest.mark.parametrize("strength", [0.75, 1.0])
def test_masked_denoising_is_the_inpainting_pipelines_with_a_plain_unet(ours, strength):
    pipe, start = theirs(StableDiffusionXLInpaintPipeline, "tiny-sdxl"), ours.picture()
    pipe.scheduler = scheduler(ours, "ddim")
    factor, cells = ours.model.space.factor, ours.cells
    mask = torch.zeros(1, 1, cells, cells)
    mask[..., : cells // 2, cells // 4 :] = 1
    mine = ours.sample(replace(start, noise_mask=mask), schedule=Schedule("ddim", "normal", STEPS, strength, "scaled"))
    pixels = mask.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    reference = pipe(
        **common(
            image=start.samples,
            mask_image=pixels,
            masked_image_latents=start.samples,
            strength=strength,
            height=cells * factor,
            width=cells * factor,
        )
    ).images
    assert torch.equal(mine, reference)


@pytest.mark.parametrize(("start", "end", "strength"), [(0.0, 1.0, 1.0), (0.3, 0.8, 0.6)])
def test_controlnet_is_the_pipelines(ours, tiny_sdxl_controlnet, start, end, strength):
    net = control.load(tiny_sdxl_controlnet.name)
    hint = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3))
    parts = {"controlnet": ControlNetModel.from_pretrained(tiny_sdxl_controlnet)}
    pipe = theirs(StableDiffusionXLControlNetPipeline, "tiny-sdxl", **parts)
    pipe.scheduler = scheduler(ours, "euler")
    mine = ours.sample(ours.canvas(2), control=control.apply(net, Image(hint), strength, start, end))
    reference = pipe(
        **common(
            2,
            image=hint.movedim(-1, 1),
            controlnet_conditioning_scale=strength,
            control_guidance_start=start,
            control_guidance_end=end,
        )
    ).images
    assert torch.equal(mine, reference)
    assert not torch.equal(mine, ours.sample(ours.canvas(2)))


def test_a_lora_of_diffusers_and_of_kohya_are_the_pipelines(ours, pipe, home, tmp_path):
    from diffusers.utils import convert_all_state_dict_to_peft, convert_state_dict_to_kohya
    from safetensors.torch import load_file, save_file

    folder = home.home / "models" / "loras"
    made = make_lora(folder / "diffusers", ours.model.build("cpu", "float32"), 7)
    state = load_file(made / "pytorch_lora_weights.safetensors")
    kohya = convert_state_dict_to_kohya(convert_all_state_dict_to_peft(state))
    kohya = {key.replace("unet_", "lora_unet_", 1) if key.startswith("unet_") else key: t for key, t in kohya.items()}
    alphas = {key: torch.tensor(8.0) for key in kohya if key.endswith(".alpha")}
    save_file({key: t.contiguous() for key, t in (kohya | alphas).items()}, folder / "kohya.safetensors")
    plain = ours.sample(ours.canvas())
    pipe.load_lora_weights(made)
    reference = pipe(**common()).images
    for name in ("diffusers", "kohya.safetensors"):
        file = lora.load(name)
        assert file.family == "sdxl-64", name
        mine = replace_model(ours, lora.apply(ours.model, file).model).sample(ours.canvas())
        assert torch.equal(mine, reference), name
    assert not torch.equal(plain, reference)


def replace_model(ours: Ours, model) -> Ours:
    changed = object.__new__(Ours)
    changed.__dict__.update(ours.__dict__, model=model)
    return changed


def test_the_refiner_is_the_pipelines_with_its_scores(home):
    make_sdxl(home.home / "models" / "checkpoints" / "tiny-refiner", refiner=True)
    ours, pipe = Ours("tiny-refiner"), theirs(StableDiffusionXLImg2ImgPipeline, "tiny-refiner")
    pipe.scheduler, start = scheduler(ours, "euler"), ours.picture()
    ours.negative = text.size(ours.negative, score=2.5)
    mine = ours.sample(start, schedule=Schedule("euler", "normal", STEPS, 0.75, "scaled"))
    assert torch.equal(mine, pipe(**common(image=start.samples, strength=0.75)).images)


def test_the_embedding_is_the_pipelines(ours, pipe):
    for prompt in ("", NEGATIVE, "a red cube on the left of a sphere"):
        hidden, _, pooled, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)
        entry = text.encode(ours.encoder, prompt).entries[0]
        assert torch.equal(entry.embedding, hidden)
        assert torch.equal(entry.pooled, pooled)


def test_the_family_is_found_by_the_configuration(ours, pipe):
    assert SDXL().owns(pipe.unet.config)
    assert load.denoiser("tiny-sdxl").family == ours.model.family == "sdxl-64"
