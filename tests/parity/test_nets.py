"""ControlNets of every kind, bit for bit what diffusers' pipelines give on the same weights."""

from pathlib import Path

import pytest
import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxTransformer2DModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLControlNetUnionPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file

from engine.errors import WeftError
from nodes import control
from nodes.families.flux import pack, unpack
from nodes.types import Image
from tests.nodes.families.test_nets import first_code
from tests.parity.test_flux import Flux
from tests.parity.test_parity import Ours, common, scheduler, theirs

pytestmark = pytest.mark.usefixtures("home", "tiny_sd1", "tiny_sdxl", "tiny_flux")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def folder(home) -> Path:
    made = home.home / "models" / "controlnet"
    made.mkdir(parents=True)
    return made


def hint(seed: int = 3) -> Image:
    return Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed)))


def shake(net, *blocks) -> None:
    """Its output convolutions are zero when it is made."""
    torch.manual_seed(5)
    for block in blocks:
        torch.nn.init.normal_(block.weight, std=0.2)


PIPELINES = {"sd1": StableDiffusionControlNetPipeline, "sdxl": StableDiffusionXLControlNetPipeline}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("batch", [1, 2])
def test_guess_mode_is_the_pipelines(request, name, batch):
    made = request.getfixturevalue("tiny_controlnet" if name == "sd1" else "tiny_sdxl_controlnet")
    ours = Ours(f"tiny-{name}")
    pipe = theirs(PIPELINES[name], f"tiny-{name}", controlnet=ControlNetModel.from_pretrained(made))
    pipe.scheduler = scheduler(ours, "euler")
    steered = control.apply(control.load(made.name), hint(), 0.8, guess=True)
    mine = ours.sample(ours.canvas(batch), control=steered)
    given = {"image": hint().pixels.movedim(-1, 1), "controlnet_conditioning_scale": 0.8}
    assert torch.equal(mine, pipe(**common(batch, guess_mode=True, **given)).images)
    plain = control.apply(control.load(made.name), hint(), 0.8)
    assert not torch.equal(mine, ours.sample(ours.canvas(batch), control=plain))


# --- nets for several kinds of hint ----------------------------------------------------------------------------------


@pytest.fixture
def union(folder, tiny_sdxl) -> Path:
    return make_union(folder / "union", tiny_sdxl)


def make_union(folder: Path, tiny_sdxl: Path) -> Path:
    """A ControlNet for six kinds of hint, made from the small SDXL."""
    unet = UNet2DConditionModel.from_pretrained(tiny_sdxl / "unet")
    keep = ("in_channels", "down_block_types", "block_out_channels", "layers_per_block", "cross_attention_dim")
    keep += ("transformer_layers_per_block", "attention_head_dim", "use_linear_projection", "addition_embed_type")
    keep += ("addition_time_embed_dim", "projection_class_embeddings_input_dim", "norm_num_groups")
    torch.manual_seed(4)
    net = ControlNetUnionModel(
        **{key: unet.config[key] for key in keep},
        conditioning_embedding_out_channels=(8, 16),
        num_control_type=6,
        num_trans_channel=8,
        num_trans_head=2,
        num_proj_channel=8,
    )
    net.load_state_dict({key: t for key, t in unet.state_dict().items() if key in net.state_dict()}, strict=False)
    shake(net, *net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out)
    net.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("mode", "number"), [("canny", 3), ("depth", 1)])
def test_a_union_for_sdxl_is_the_pipelines(union, mode, number):
    ours = Ours("tiny-sdxl")
    parts = {"controlnet": ControlNetUnionModel.from_pretrained(union)}
    pipe = theirs(StableDiffusionXLControlNetUnionPipeline, "tiny-sdxl", **parts)
    pipe.scheduler = scheduler(ours, "euler")
    net = control.load("union")
    mine = ours.sample(ours.canvas(), control=control.apply(net, hint(), 0.7, mode=mode))
    given = {"control_image": [hint().pixels.movedim(-1, 1)], "control_mode": [number]}
    assert torch.equal(mine, pipe(**common(controlnet_conditioning_scale=0.7, **given)).images)
    assert not torch.equal(mine, ours.sample(ours.canvas(), control=control.apply(net, hint(), 0.7, mode="pose")))


def test_a_union_asks_what_the_hint_shows(union, tiny_controlnet):
    with pytest.raises(WeftError, match="does not know what the hint shows") as told:
        control.apply(control.load("union"), hint())
    assert told.value.problem.mend.text.endswith("pose, depth, soft_edge, scribble, canny, line, normal, segment")
    with pytest.raises(WeftError, match="was not trained on tile"):
        control.apply(control.load("union"), hint(), mode="tile")
    with pytest.raises(WeftError, match="was trained on one kind of hint"):
        control.apply(control.load(tiny_controlnet.name), hint(), mode="depth")


@pytest.mark.parametrize("modes", [None, 7])
def test_a_net_of_flux_is_the_pipelines(folder, tiny_flux, modes):
    """The pipeline draws the hint's latents, so both are given those of the distribution's mode."""
    transformer = FluxTransformer2DModel.from_pretrained(tiny_flux / "transformer")
    torch.manual_seed(6)
    net = FluxControlNetModel.from_transformer(
        transformer, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2
    )
    if modes:
        told = {key: value for key, value in net.config.items() if key[0] != "_" and key != "out_channels"}
        net = FluxControlNetModel(**told | {"num_mode": modes})
    shake(net, *net.controlnet_blocks, *net.controlnet_single_blocks, net.controlnet_x_embedder)
    net.save_pretrained(folder / "flux-net")
    ours = Flux("tiny-flux")
    steered = control.apply(
        control.load("flux-net"), hint(), 0.6, 0.0, 0.8, mode="depth" if modes else "auto", vae=ours.vae
    )
    mine = ours.sample(ours.canvas(), control=steered)

    class Mode:
        def __init__(self, found):
            self.latents = found.latent_dist.mode()

    pipe = theirs(
        FluxControlNetPipeline, "tiny-flux", controlnet=FluxControlNetModel.from_pretrained(folder / "flux-net")
    )
    encode = pipe.vae.encode
    pipe.vae.encode = lambda pixels: Mode(encode(pixels))
    given = {"width": 64, "height": 64, "max_sequence_length": 512, "guidance_scale": 3.5, "negative_prompt": None}
    given |= {"control_image": hint().pixels.movedim(-1, 1) * 2 - 1, "control_mode": 2 if modes else None}
    given |= {"controlnet_conditioning_scale": 0.6, "control_guidance_end": 0.8}
    wanted = unpack(pipe(**common(**given)).images, 32, 32)
    assert torch.equal(mine, wanted)
    assert not torch.equal(mine, ours.sample(ours.canvas()))
    assert pack(mine).shape[-1] == 64


def test_a_net_of_flux_asks_for_the_vae(folder, tiny_flux):
    transformer = FluxTransformer2DModel.from_pretrained(tiny_flux / "transformer")
    FluxControlNetModel.from_transformer(
        transformer, num_layers=1, num_single_layers=0, attention_head_dim=16, num_attention_heads=2
    ).save_pretrained(folder / "net")
    with pytest.raises(WeftError, match="ControlNets of Flux read their hint as latents"):
        control.apply(control.load("net"), hint())


# --- T2I-Adapters ----------------------------------------------------------------------------------------------------


def test_a_t2i_adapter_is_the_pipelines(folder, tiny_sdxl_controlnet):
    torch.manual_seed(9)
    options = {"num_res_blocks": 1, "downscale_factor": 4, "adapter_type": "full_adapter_xl"}
    T2IAdapter(in_channels=3, channels=(8, 16), **options).save_pretrained(folder / "t2i")
    ours = Ours("tiny-sdxl")
    parts = {"adapter": T2IAdapter.from_pretrained(folder / "t2i")}
    pipe = theirs(StableDiffusionXLAdapterPipeline, "tiny-sdxl", **parts)
    pipe.scheduler = scheduler(ours, "euler")
    steered = control.apply(control.load("t2i"), hint(), 0.8, 0.0, 0.5)
    mine = ours.sample(ours.canvas(2), control=steered)
    image = hint().pixels.movedim(-1, 1)
    given = {"image": image, "adapter_conditioning_scale": 0.8, "adapter_conditioning_factor": 0.5}
    given |= {"width": 64, "height": 64}
    assert torch.equal(mine, pipe(**common(2, **given)).images)
    assert not torch.equal(mine, ours.sample(ours.canvas(2)))
    both = control.apply(control.load(tiny_sdxl_controlnet.name), hint(4), 0.5, previous=steered)
    assert ours.sample(ours.canvas(), control=both).isfinite().all()


# --- single files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["first code", "diffusers"])
def test_a_single_file_is_the_folder_it_was_made_from(folder, tiny_controlnet, layout):
    state = load_file(tiny_controlnet / "diffusion_pytorch_model.safetensors")
    old = {key: tensor.contiguous() for key, tensor in first_code(state, 1).items()}
    save_file(old if layout == "first code" else state, folder / "canny.safetensors")
    (folder / "canny").mkdir()
    (folder / "canny" / "config.json").write_bytes((tiny_controlnet / "config.json").read_bytes())
    one, other = control.load("canny.safetensors"), control.load(tiny_controlnet.name)
    assert (one.family, one.config) == (other.family, other.config)
    built = one.build("cpu", "float32").state_dict()
    assert built.keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in built.items())
