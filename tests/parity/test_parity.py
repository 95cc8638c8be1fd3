"""Bit for bit what diffusers' own pipelines give on the same weights, with one generator for each item of a batch."""

from dataclasses import replace

import pytest
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusion3Pipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)

from engine import places
from engine.sockets import facts_of
from nodes import denoise, guidance, load, schedule, text, vae
from nodes.families.files import component
from nodes.types import Control, ControlItem, ControlNet, Image, Latent, Noise, Schedule

PROMPT, NEGATIVE = "a red cube left of a blue sphere", "blurry"
STEPS, CFG, SEED = 4, 5.0, 11


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


class Ours:
    """Everything loaded through the nodes."""

    def __init__(self, name: str) -> None:
        self.model, self.encoder, self.vae = load.model(name)
        self.positive = text.encode(self.encoder, PROMPT)
        self.negative = text.encode(self.encoder, NEGATIVE)
        self.cells = int(dict(self.model.config)["sample_size"])

    def canvas(self, batch: int = 1) -> Latent:
        return Latent(torch.zeros(batch, self.model.space.channels, self.cells, self.cells), self.model.space)

    def picture(self, batch: int = 1) -> Latent:
        shape = self.canvas(batch).samples.shape
        return Latent(torch.randn(shape, generator=torch.Generator().manual_seed(99)), self.model.space)

    def sample(self, latent: Latent, **inputs) -> torch.Tensor:
        return denoise.sample(
            self.model, self.positive, latent, self.negative, **{"seed": SEED, "steps": STEPS, "cfg": CFG, **inputs}
        ).latent.samples


def theirs(cls, name: str, **parts):
    folder = places.current().model("checkpoints", name)
    variant = {"variant": "fp16"} if list(folder.glob("*/*.fp16.safetensors")) else {}
    pipe = cls.from_pretrained(folder, **variant, **parts).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generators(batch: int = 1) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(SEED + index) for index in range(batch)]


def common(batch: int = 1, **more):
    """The arguments all pipelines share."""
    return {
        "prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "num_images_per_prompt": batch,
        "num_inference_steps": STEPS,
        "guidance_scale": CFG,
        "generator": generators(batch),
        "output_type": "latent",
        **more,
    }


def scheduler(ours: Ours, sampler: str, spacing: str = "normal"):
    """A fresh scheduler of the kind; the pipeline sets its timesteps itself."""
    return schedule.build(Schedule(sampler, spacing, STEPS), ours.model, "cpu").scheduler


def count(module: torch.nn.Module):
    """Counts forwards."""
    calls: list[int] = []
    module.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


# --- Stable Diffusion 1.x --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "spacing"),
    [
        ("euler", "normal"),
        ("euler", "karras"),
        ("euler_ancestral", "normal"),
        ("heun", "normal"),
        ("dpmpp_2m", "karras"),
        ("dpmpp_2m_sde", "normal"),
        ("ddim", "normal"),
        ("lcm", "normal"),
        ("uni_pc", "normal"),
        ("pndm", "normal"),
    ],
)
def test_text_to_image_is_the_pipelines_bit_for_bit(sd1, sampler, spacing):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, sampler, spacing)
    mine = ours.sample(ours.canvas(), sampler=sampler, scheduler=spacing)
    assert torch.equal(mine, pipe(**common()).images)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_the_decoded_pictures_are_the_pipelines_byte_for_byte(name, home, tiny_sd1, tiny_sd3):
    ours = Ours(f"tiny-{name}")
    pipe = theirs({"sd1": StableDiffusionPipeline, "sd3": StableDiffusion3Pipeline}[name], f"tiny-{name}")
    pipe.scheduler = scheduler(ours, "euler")
    drawn = denoise.sample(ours.model, ours.positive, ours.canvas(2), ours.negative, seed=SEED, steps=STEPS, cfg=CFG)
    mine = vae.decode(ours.vae, drawn.latent).pil()
    reference = pipe(**common(2, output_type="pil")).images
    assert [picture.tobytes() for picture in mine] == [picture.tobytes() for picture in reference]


def test_the_starters_pictures_are_the_pipelines_byte_for_byte(sd1):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, "ddim")
    drawn = denoise.sample(
        ours.model, ours.positive, ours.canvas(), ours.negative, seed=SEED, steps=STEPS, cfg=CFG, sampler="ddim"
    )
    reference = pipe(**common(output_type="pil")).images
    assert vae.decode(ours.vae, drawn.latent).pil()[0].tobytes() == reference[0].tobytes()


def test_a_batch_is_the_pipelines_with_a_list_of_generators(sd1):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, "euler_ancestral")
    mine = ours.sample(ours.canvas(3), sampler="euler_ancestral")
    assert torch.equal(mine, pipe(**common(3)).images)


def test_a_single_stream_is_the_pipelines_with_one_generator(sd1):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, "euler")
    mine = ours.sample(ours.canvas(2), noise=Noise(SEED, single_stream=True))
    assert torch.equal(mine, pipe(**common(2, generator=torch.Generator().manual_seed(SEED))).images)


def test_without_guidance_it_is_the_pipelines_without_guidance(sd1):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, "euler")
    assert torch.equal(ours.sample(ours.canvas(), cfg=1.0), pipe(**common(guidance_scale=1.0)).images)


def test_rescaled_guidance_is_the_pipelines(sd1):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, "euler")
    mine = ours.sample(ours.canvas(), guidance=guidance.classifier_free_guidance(CFG, rescale=0.7))
    assert torch.equal(mine, pipe(**common(guidance_rescale=0.7)).images)


def test_clip_skip_is_the_pipelines_counted_from_one(sd1):
    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    ours.positive = text.encode(ours.encoder, PROMPT, clip_skip=2)
    # diffusers 0.42 looks for the layer norm where transformers 4 had it.
    pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder
    pipe.scheduler = scheduler(ours, "euler")
    assert torch.equal(ours.sample(ours.canvas()), pipe(**common(clip_skip=1)).images)


@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
@pytest.mark.parametrize("sampler", ["euler", "ddim", "dpmpp_2m"])
def test_image_to_image_scaled_is_the_pipelines(sd1, sampler, strength):
    ours, pipe = Ours(sd1), theirs(StableDiffusionImg2ImgPipeline, sd1)
    pipe.scheduler, start = scheduler(ours, sampler), ours.picture(2)
    mine = ours.sample(start, schedule=Schedule(sampler, "normal", STEPS, strength, "scaled"))
    # num_images_per_prompt would repeat one picture: two prompts, two pictures.
    both = {"prompt": [PROMPT] * 2, "negative_prompt": [NEGATIVE] * 2, "num_images_per_prompt": 1}
    calls = common(2, **both, image=start.samples, strength=strength)
    embeds = embeddings(ours, 2)
    for key in ("prompt", "negative_prompt"):
        calls.pop(key)
    assert torch.equal(mine, pipe(**calls, **embeds).images)


def embeddings(ours: Ours, batch: int) -> dict[str, torch.Tensor]:
    """The same embeddings for the pipeline: encoding two prompts at once would differ by rounding."""
    return {
        "prompt_embeds": ours.positive.entries[0].embedding.repeat(batch, 1, 1),
        "negative_prompt_embeds": ours.negative.entries[0].embedding.repeat(batch, 1, 1),
    }


@pytest.mark.parametrize("strength", [0.75, 1.0])
def test_masked_denoising_is_the_inpainting_pipelines_with_a_plain_unet(sd1, strength):
    ours, pipe = Ours(sd1), theirs(StableDiffusionInpaintPipeline, sd1)
    pipe.scheduler, start = scheduler(ours, "ddim"), ours.picture()
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


def test_forwards_are_as_many_as_the_pipelines(sd1):
    from engine.run import ambient

    ours, pipe = Ours(sd1), theirs(StableDiffusionPipeline, sd1)
    pipe.scheduler = scheduler(ours, "euler")
    with ambient().lease(ours.model) as unet:
        mine = count(unet)
    reference = count(pipe.unet)
    ours.sample(ours.canvas())
    pipe(**common())
    assert len(mine) == len(reference) == STEPS


@pytest.mark.parametrize(("start", "end", "strength"), [(0.0, 1.0, 1.0), (0.3, 0.8, 0.6)])
def test_controlnet_is_the_pipelines(home, tiny_controlnet, start, end, strength):
    ours = Ours("tiny-sd1")
    net = ControlNet(component(tiny_controlnet).weights("controlnet"), facts_of(ours.model)["family"])
    hint = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3))
    parts = {"controlnet": ControlNetModel.from_pretrained(tiny_controlnet)}
    pipe = theirs(StableDiffusionControlNetPipeline, "tiny-sd1", **parts)
    pipe.scheduler = scheduler(ours, "euler")
    mine = ours.sample(ours.canvas(2), control=Control((ControlItem(net, Image(hint), strength, start, end),)))
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


def test_several_controlnets_are_the_pipelines(home, tiny_controlnet):
    ours = Ours("tiny-sd1")
    net = ControlNet(component(tiny_controlnet).weights("controlnet"), facts_of(ours.model)["family"])
    hints = [torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    nets = [ControlNetModel.from_pretrained(tiny_controlnet) for _ in hints]
    pipe = theirs(StableDiffusionControlNetPipeline, "tiny-sd1", controlnet=nets)
    pipe.scheduler = scheduler(ours, "euler")
    items = tuple(ControlItem(net, Image(hint), scale) for hint, scale in zip(hints, (0.4, 0.9), strict=True))
    reference = pipe(
        **common(image=[hint.movedim(-1, 1) for hint in hints], controlnet_conditioning_scale=[0.4, 0.9])
    ).images
    assert torch.equal(ours.sample(ours.canvas(), control=Control(items)), reference)


@pytest.mark.parametrize("scale", [1.0, 8.5])
def test_guidance_as_an_input_is_the_pipelines(home, tiny_sd1, scale):
    import shutil

    from diffusers import UNet2DConditionModel

    folder = home.home / "models" / "checkpoints" / "distilled"
    shutil.copytree(tiny_sd1, folder)
    config = dict(UNet2DConditionModel.load_config(tiny_sd1 / "unet"))
    torch.manual_seed(4)
    UNet2DConditionModel.from_config(config, time_cond_proj_dim=16).save_pretrained(folder / "unet")
    ours, pipe = Ours("distilled"), theirs(StableDiffusionPipeline, "distilled")
    pipe.scheduler = scheduler(ours, "lcm")
    wired = guidance.embedded(scale) if scale != 1 else None
    mine = ours.sample(ours.canvas(2), cfg=1.0, guidance=wired, sampler="lcm")
    assert torch.equal(mine, pipe(**common(2, guidance_scale=scale)).images)


# --- Stable Diffusion 3 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cfg", "batch"), [(CFG, 1), (CFG, 3), (1.0, 2)])
def test_sd3_text_to_image_is_the_pipelines(home, tiny_sd3, cfg, batch):
    ours, pipe = Ours("tiny-sd3"), theirs(StableDiffusion3Pipeline, "tiny-sd3")
    reference = pipe(**common(batch, guidance_scale=cfg)).images
    assert torch.equal(ours.sample(ours.canvas(batch), cfg=cfg), reference)


def test_sd3_without_t5_is_the_pipelines_without_t5(home, tiny_sd3, tmp_path):
    import json
    import shutil

    folder = tmp_path / "weft" / "models" / "checkpoints" / "no-t5"
    shutil.copytree(tiny_sd3, folder, ignore=shutil.ignore_patterns("text_encoder_3", "tokenizer_3"))
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    ours = Ours("no-t5")
    pipe = theirs(StableDiffusion3Pipeline, "no-t5", text_encoder_3=None, tokenizer_3=None)
    assert torch.equal(ours.sample(ours.canvas()), pipe(**common()).images)
