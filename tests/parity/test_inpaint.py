"""A UNet made for inpainting, against diffusers' own pipeline on the same weights."""

import shutil

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel

from nodes import denoise, load, mask, schedule, text
from nodes.inpaint.encode import condition
from nodes.types import Image, Schedule

STEPS, SEED = 4, 11


@pytest.fixture(scope="module")
def inpaint(models, tiny_sd1):
    """`tiny_sd1` with a UNet of 9 channels."""
    folder = models / "checkpoints" / "tiny-parity-inpaint"
    shutil.copytree(tiny_sd1, folder)
    shutil.rmtree(folder / "unet")
    torch.manual_seed(8)
    config = {**UNet2DConditionModel.load_config(tiny_sd1 / "unet"), "in_channels": 9}
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    return folder


@torch.no_grad()
@pytest.mark.parametrize(("cfg", "strength"), [(1.0, 1.0), (5.0, 1.0), (5.0, 0.75)])
def test_a_model_made_for_inpainting_gives_the_pipelines_latents(home, inpaint, cfg, strength):
    model, encoder, autoencoder = load.model("tiny-parity-inpaint")
    prompt, negative = text.encode(encoder, "a red cube"), text.encode(encoder, "")
    image = Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(2)))
    hole = mask.rectangle(64, 64, 12, 20, 40, 50)
    latent = condition(autoencoder, image, hole, keep=False)
    settings = Schedule("ddim", "normal", STEPS, strength, "scaled")
    made = denoise.sample(model, prompt, latent, negative, seed=SEED, cfg=cfg, schedule=settings)
    pipe = StableDiffusionInpaintPipeline.from_pretrained(inpaint)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = schedule.build(Schedule("ddim", "normal", STEPS), model, "cpu").scheduler
    reference = pipe(
        prompt_embeds=prompt.entries[0].embedding,
        negative_prompt_embeds=negative.entries[0].embedding if cfg > 1 else None,
        image=latent.samples,
        mask_image=hole.alpha[:, None],
        masked_image_latents=latent.beside[:, 1:],
        height=64,
        width=64,
        strength=strength,
        num_inference_steps=STEPS,
        guidance_scale=cfg,
        generator=[torch.Generator().manual_seed(SEED)],
        output_type="latent",
    ).images
    samples = made.samples if hasattr(made, "samples") else made[0].samples
    assert torch.equal(samples, reference)
