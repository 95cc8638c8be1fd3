"""Models small enough to make in a test: real diffusers folders with seeded random weights."""

import os
from pathlib import Path

import pytest

from engine import places

os.environ.setdefault("OMP_NUM_THREADS", "1")

WORDS = ["a", "red", "blue", "green", "cube", "sphere", "on", "the", "left", "of", "blurry"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models tree; the tiny models lie in its `checkpoints`."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def home(models: Path, tmp_path: Path):
    """Places with a home of the test's own and the tiny models in reach."""
    with places.using(places.Places(home=tmp_path / "weft", model_folders=(models,))) as here:
        yield here


@pytest.fixture(scope="session")
def tiny_sd1(models: Path) -> Path:
    """The folder of a small StableDiffusionPipeline: width 32, latents of 4 channels, pictures of 64 x 64."""
    return make_sd1(models / "checkpoints" / "tiny-sd1")


@pytest.fixture(scope="session")
def tiny_sd3(models: Path) -> Path:
    """The folder of a small StableDiffusion3Pipeline: width 32, pooled 64, latents of 16 channels, 64 x 64."""
    return make_sd3(models / "checkpoints" / "tiny-sd3")


@pytest.fixture(scope="session")
def tiny_sdxl(models: Path) -> Path:
    """The folder of a small StableDiffusionXLPipeline: width 64, pooled 32, latents of 4 channels, 64 x 64."""
    return make_sdxl(models / "checkpoints" / "tiny-sdxl")


@pytest.fixture(scope="session")
def tiny_flux(models: Path) -> Path:
    """The folder of a small FluxPipeline like dev: width 32, pooled 32, latents of 16 channels, 64 x 64."""
    return make_flux(models / "checkpoints" / "tiny-flux")


@pytest.fixture(scope="session")
def tiny_schnell(models: Path) -> Path:
    """The folder of a small FluxPipeline like schnell: no guidance at all, no shift."""
    return make_flux(models / "checkpoints" / "tiny-schnell", schnell=True)


@pytest.fixture(scope="session")
def tiny_sdxl_controlnet(models: Path, tiny_sdxl: Path) -> Path:
    """The folder of a ControlNet made from `tiny_sdxl`, its output convolutions not zero."""
    return make_controlnet(models / "controlnet" / "tiny-sdxl-canny", tiny_sdxl)


@pytest.fixture(scope="session")
def tiny_controlnet(models: Path, tiny_sd1: Path) -> Path:
    """The folder of a ControlNet made from `tiny_sd1`, its output convolutions not zero."""
    return make_controlnet(models / "controlnet" / "tiny-canny", tiny_sd1)


def make_controlnet(folder: Path, base: Path) -> Path:
    import torch
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(5)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    # One downsampling by 2 for each of the VAE's: the hint comes in pixels.
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    for block in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(block.weight, std=0.2)
    net.save_pretrained(folder)
    return folder


def make_sd1(folder: Path) -> Path:
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(clip_config()),
        tokenizer=clip_tokenizer(),
        unet=unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def make_sdxl(folder: Path, refiner: bool = False) -> Path:
    """SDXL's shape in small: two transformer blocks deep, 6 numbers about sizes of 8 sinusoids each beside pooled text.

    The refiner's: CLIP-G alone, 5 numbers.
    """
    import torch
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLImg2ImgPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(2)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=32 + 8 * (5 if refiner else 6),
        cross_attention_dim=32 if refiner else 64,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.13025,
        force_upcast=True,
    )
    parts = {
        "vae": vae,
        "unet": unet,
        "text_encoder": None if refiner else CLIPTextModel(clip_config()),
        "tokenizer": None if refiner else clip_tokenizer(),
        "text_encoder_2": CLIPTextModelWithProjection(clip_config()),
        "tokenizer_2": clip_tokenizer(pad="!"),
        "scheduler": EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
    }
    if refiner:
        StableDiffusionXLImg2ImgPipeline(**parts, requires_aesthetics_score=True).save_pretrained(folder)
    else:
        StableDiffusionXLPipeline(**parts).save_pretrained(folder)
    return folder


def make_sd3(folder: Path) -> Path:
    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel

    torch.manual_seed(1)
    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=96,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.5305,
        shift_factor=0.0609,
    )
    t5 = T5Config(d_model=32, d_ff=37, d_kv=8, num_heads=4, num_layers=2, vocab_size=64, feed_forward_proj="gated-gelu")
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=CLIPTextModelWithProjection(clip_config(hidden_size=16, projection_dim=32)),
        tokenizer=clip_tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(hidden_size=16, projection_dim=32)),
        tokenizer_2=clip_tokenizer(pad="!"),
        text_encoder_3=T5EncoderModel(t5),
        tokenizer_3=t5_tokenizer(),
    ).save_pretrained(folder)
    return folder


def make_flux(folder: Path, schnell: bool = False) -> Path:
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(3)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=not schnell,
        axes_dims_rope=(4, 4, 8),
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )
    t5 = T5Config(d_model=32, d_ff=37, d_kv=8, num_heads=4, num_layers=2, vocab_size=64, feed_forward_proj="gated-gelu")
    shift = {"shift": 1.0} if schnell else {"shift": 3.0, "use_dynamic_shifting": True}
    FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(**shift),
        vae=vae,
        text_encoder=CLIPTextModel(clip_config()),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=t5_tokenizer(),
    ).save_pretrained(folder)
    return folder


def clip_config(hidden_size: int = 32, projection_dim: int = 32):
    from transformers import CLIPTextConfig

    vocabulary = len(clip_vocabulary())
    return CLIPTextConfig(
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        hidden_size=hidden_size,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=4,
        projection_dim=projection_dim,
        vocab_size=vocabulary,
        max_position_embeddings=77,
    )


def clip_vocabulary() -> dict[str, int]:
    letters = "!abcdefghijklmnopqrstuvwxyz,"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(f"{word}</w>" for word in WORDS if len(word) > 1)]
    return {token: index for index, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}


def clip_tokenizer(pad: str = "<|endoftext|>"):
    """A CLIP tokenizer that knows the alphabet."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab=clip_vocabulary(), merges=[], model_max_length=77, pad_token=pad)


def t5_tokenizer():
    """A T5 tokenizer that knows the alphabet and a few words."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -4.0) for letter in "abcdefghijklmnopqrstuvwxyz,"]
    pieces += [(f"▁{word}", -3.0) for word in WORDS]
    return T5Tokenizer(vocab=pieces, extra_ids=0)
