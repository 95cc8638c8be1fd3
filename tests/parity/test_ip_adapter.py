"""IP-Adapters, bit for bit what diffusers' pipelines give on the same weights."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.image_processor import IPAdapterMaskProcessor
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from engine.errors import WeftError
from nodes import ip_adapter, lora
from nodes.denoise.active import at_step
from nodes.types import Image, Mask
from tests.nodes.families.test_adapters import make_lora
from tests.parity.test_parity import Ours, common, scheduler, theirs

pytestmark = pytest.mark.usefixtures("home", "tiny_sd1", "tiny_sdxl")
SIZE, TOKENS = 32, 4


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def vision(folder: Path) -> Path:
    """A small image encoder: 64 wide, 16 heads, 48 after its projection."""
    torch.manual_seed(7)
    config = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=16,
        projection_dim=48,
        image_size=SIZE,
        patch_size=8,
        hidden_act="gelu",
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(home) -> Path:
    return vision(home.home / "models" / "clip_vision" / "small")


def adapter(path: Path, module, kind: str = "plain", seed: int = 8) -> Path:
    """An adapter's file for a UNet, as its authors save it."""
    torch.manual_seed(seed)
    width = module.config.cross_attention_dim
    state = {}
    if kind == "plain":
        state["image_proj.proj.weight"] = torch.randn(TOKENS * width, 48) * 0.2
        state["image_proj.proj.bias"] = torch.zeros(TOKENS * width)
        state |= {"image_proj.norm.weight": torch.ones(width), "image_proj.norm.bias": torch.zeros(width)}
    else:
        state["image_proj.latents"] = torch.randn(1, TOKENS, 64) * 0.2
        for name, sizes in (("proj_in", (64, 64)), ("proj_out", (width, 64))):
            state[f"image_proj.{name}.weight"] = torch.randn(*sizes) * 0.2
            state[f"image_proj.{name}.bias"] = torch.zeros(sizes[0])
        state |= {"image_proj.norm_out.weight": torch.ones(width), "image_proj.norm_out.bias": torch.zeros(width)}
        for layer in range(4):
            here = f"image_proj.layers.{layer}"
            for norm in ("0.norm1", "0.norm2", "1.0"):
                state |= {f"{here}.{norm}.weight": torch.ones(64), f"{here}.{norm}.bias": torch.zeros(64)}
            state[f"{here}.0.to_q.weight"] = torch.randn(64, 64) * 0.2
            state[f"{here}.0.to_kv.weight"] = torch.randn(128, 64) * 0.2
            state[f"{here}.0.to_out.weight"] = torch.randn(64, 64) * 0.2
            state[f"{here}.1.1.weight"] = torch.randn(256, 64) * 0.2
            state[f"{here}.1.3.weight"] = torch.randn(64, 256) * 0.2
    number = 1
    for name in module.attn_processors:
        if name.endswith("attn2.processor"):
            layer = module.get_submodule(name.removesuffix(".processor"))
            for what in ("k", "v"):
                state[f"ip_adapter.{number}.to_{what}_ip.weight"] = torch.randn(layer.inner_dim, width) * 0.3
            number += 2
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


def picture(seed: int = 1) -> Image:
    return Image(torch.rand(1, 40, 56, 3, generator=torch.Generator().manual_seed(seed)))


class Scene:
    """A model with an adapter, ours and the pipeline's."""

    def __init__(self, home, encoder: Path, kind: str = "plain", of: str = "sd1") -> None:
        self.ours = Ours(f"tiny-{of}")
        self.folder = home.home / "models" / "ip_adapter"
        self.file = adapter(self.folder / "like.safetensors", self.ours.model.build("cpu", "float32"), kind)
        self.adapter = ip_adapter.load("like.safetensors", encoder.name)
        vision = CLIPVisionModelWithProjection.from_pretrained(encoder)
        reader = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
        cls = StableDiffusionXLPipeline if of == "sdxl" else StableDiffusionPipeline
        self.pipe = theirs(cls, f"tiny-{of}", image_encoder=vision, feature_extractor=reader)
        self.pipe.scheduler = scheduler(self.ours, "euler")

    def reference(self, names) -> None:
        """The pipeline with these files on it."""
        self.pipe.load_ip_adapter(str(self.folder), subfolder="", weight_name=names, image_encoder_folder=None)

    def prompt(self, *images: Image):
        return ip_adapter.encode(self.adapter, *images)

    def drawn(self, model, batch: int = 1, **more) -> torch.Tensor:
        plain, self.ours.model = self.ours.model, model
        try:
            return self.ours.sample(self.ours.canvas(batch), **more)
        finally:
            self.ours.model = plain


@pytest.fixture(params=[("plain", "sd1"), ("plus", "sd1"), ("plain", "sdxl"), ("plus", "sdxl")], ids="-".join)
def scene(request, home, encoder) -> Scene:
    return Scene(home, encoder, *request.param)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_picture_as_a_prompt_is_the_pipelines(scene, batch):
    plain = scene.ours.sample(scene.ours.canvas(batch))
    scene.reference("like.safetensors")
    scene.pipe.set_ip_adapter_scale(0.7)
    model = ip_adapter.apply(scene.ours.model, scene.adapter, scene.prompt(picture()), 0.7)
    mine = scene.drawn(model, batch)
    assert torch.equal(mine, scene.pipe(**common(batch, ip_adapter_image=picture().pil()[0])).images)
    assert not torch.equal(mine, plain)
    assert torch.equal(scene.ours.sample(scene.ours.canvas(batch)), plain), "taken off again"


def test_several_pictures_are_read_together(scene):
    scene.reference("like.safetensors")
    scene.pipe.set_ip_adapter_scale(0.5)
    prompt = scene.prompt(picture(1), picture(2))
    assert prompt.embeds.shape[1] == 2
    mine = scene.drawn(ip_adapter.apply(scene.ours.model, scene.adapter, prompt, 0.5))
    images = [[picture(1).pil()[0], picture(2).pil()[0]]]
    assert torch.equal(mine, scene.pipe(**common(ip_adapter_image=images)).images)


def test_a_mask_says_where_it_counts(home, encoder):
    scene = Scene(home, encoder)
    scene.reference("like.safetensors")
    scene.pipe.set_ip_adapter_scale(0.7)
    alpha = torch.zeros(1, 64, 64)
    alpha[:, :, :32] = 1
    model = ip_adapter.apply(scene.ours.model, scene.adapter, scene.prompt(picture()), 0.7, mask=Mask(alpha))
    masks = IPAdapterMaskProcessor().preprocess(alpha[:, None], height=64, width=64)
    given = {"ip_adapter_image": picture().pil()[0], "cross_attention_kwargs": {"ip_adapter_masks": [masks]}}
    mine = scene.drawn(model)
    assert torch.equal(mine, scene.pipe(**common(**given)).images)
    whole = ip_adapter.apply(scene.ours.model, scene.adapter, scene.prompt(picture()), 0.7)
    assert not torch.equal(mine, scene.drawn(whole))


def test_two_adapters_at_once_are_the_pipelines(home, encoder):
    scene = Scene(home, encoder)
    adapter(scene.folder / "other.safetensors", scene.ours.model.build("cpu", "float32"), "plus", seed=20)
    scene.reference(["like.safetensors", "other.safetensors"])
    scene.pipe.set_ip_adapter_scale([0.7, 0.3])
    other = ip_adapter.load("other.safetensors", encoder.name)
    model = ip_adapter.apply(scene.ours.model, scene.adapter, scene.prompt(picture(1)), 0.7)
    model = ip_adapter.apply(model, other, ip_adapter.encode(other, picture(2)), 0.3)
    assert len(model.patches) == 1
    images = [picture(1).pil()[0], picture(2).pil()[0]]
    assert torch.equal(scene.drawn(model), scene.pipe(**common(ip_adapter_image=images)).images)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_it_acts_in_its_range_and_only_there(home, encoder, guidance):
    scene = Scene(home, encoder)
    prompt = scene.prompt(picture())
    late = ip_adapter.apply(scene.ours.model, scene.adapter, prompt, 0.7, start=0.5)
    whole = ip_adapter.apply(scene.ours.model, scene.adapter, prompt, 0.7)
    assert at_step(late, 0, 4).patches == ()
    assert at_step(late, 2, 4).patches[0].items[0].strength == 0.7
    from nodes.denoise import sample

    given = {"positive": scene.ours.positive, "negative": scene.ours.negative, "seed": 11, "steps": 4, "cfg": guidance}
    half = sample(scene.ours.model, latent=scene.ours.canvas(), stop_step=2, **given).latent
    wanted = sample(whole, latent=half, start_step=2, add_noise=False, **given).latent.samples
    assert torch.equal(scene.drawn(late, cfg=guidance), wanted)
    assert not torch.equal(scene.drawn(whole, cfg=guidance), wanted)


def test_style_alone_is_set_in_the_blocks_of_the_pipelines(home, encoder):
    from nodes.families.ip_adapter import IPItem, _scale

    scene = Scene(home, encoder, of="sdxl")
    prompt = scene.prompt(picture())
    item = IPItem(scene.adapter, prompt, 0.8, part="style")
    assert _scale(item, "up_blocks.0.attentions.1.transformer_blocks.3.attn2.processor") == 0.8
    assert _scale(item, "up_blocks.0.attentions.0.transformer_blocks.3.attn2.processor") == 0.0
    both = IPItem(scene.adapter, prompt, 0.8, part="style and layout")
    assert _scale(both, "down_blocks.2.attentions.1.transformer_blocks.3.attn2.processor") == 0.8
    with pytest.raises(WeftError, match="style alone is known for SDXL's blocks only"):
        small = Scene(home, encoder)
        ip_adapter.apply(small.ours.model, small.adapter, prompt, part="style")


def test_a_lora_and_an_adapter_go_together(home, encoder):
    scene = Scene(home, encoder)
    made = make_lora(home.home / "models" / "loras" / "ink", scene.ours.model.build("cpu", "float32"), 7)
    scene.reference("like.safetensors")
    scene.pipe.set_ip_adapter_scale(0.7)
    scene.pipe.load_lora_weights(made)
    model = lora.apply(scene.ours.model, lora.load("ink")).model
    model = ip_adapter.apply(model, scene.adapter, scene.prompt(picture()), 0.7)
    assert torch.equal(scene.drawn(model), scene.pipe(**common(ip_adapter_image=picture().pil()[0])).images)


def test_the_image_encoder_in_a_file_is_the_folders(home, encoder):
    from safetensors.torch import load_file

    scene = Scene(home, encoder)
    save_file(load_file(encoder / "model.safetensors"), encoder.parent / "vision.safetensors")
    other = ip_adapter.load("like.safetensors", "vision.safetensors")
    one, two = scene.prompt(picture()), ip_adapter.encode(other, picture())
    assert torch.equal(one.embeds, two.embeds)


def test_what_does_not_fit_is_told_in_one_line(home, encoder):
    scene = Scene(home, encoder)
    narrow = CLIPVisionConfig(hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=16)
    CLIPVisionModelWithProjection(narrow).save_pretrained(encoder.parent / "narrow")
    with pytest.raises(WeftError, match=r"the image encoder is 512 wide, the adapter reads 48"):
        ip_adapter.load("like.safetensors", "narrow")
    save_file({"conv.weight": torch.ones(2)}, scene.folder / "no.safetensors")
    with pytest.raises(WeftError, match=r"no.safetensors is no IP-Adapter that is known here"):
        ip_adapter.load("no.safetensors", encoder.name)
    (scene.folder / "old.bin").write_bytes(b"x")
    with pytest.raises(WeftError, match=r"old.bin is pickled"):
        ip_adapter.load("old.bin", encoder.name)
    with pytest.raises(WeftError, match=r"no picture to encode"):
        ip_adapter.encode(scene.adapter)
    assert scene.adapter.family == scene.ours.model.family
    assert ip_adapter.apply(scene.ours.model, scene.adapter, scene.prompt(picture()), 0.0) is scene.ours.model
