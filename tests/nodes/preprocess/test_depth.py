import json

import pytest
import torch

from engine.errors import WeftError
from engine.invoke import EngineRun, using_ambient
from engine.memory import Memory
from engine.numerics import Numerics
from nodes.preprocess.depth import _prepared, depth
from nodes.types import Image


@pytest.fixture(scope="session")
def estimators(models):
    """A small Depth Anything and a small GLPN, which tells distance where the other tells nearness."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, GLPNConfig, GLPNForDepthEstimation

    folder = models / "preprocessors"
    torch.manual_seed(9)
    backbone = {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    backbone |= {
        "image_size": 28,
        "patch_size": 14,
        "out_features": ["stage1", "stage2"],
        "reshape_hidden_states": False,
    }
    near = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=16,
            reassemble_factors=[2, 1],
            neck_hidden_sizes=[8, 8],
            fusion_hidden_size=8,
            head_hidden_size=8,
            patch_size=14,
        )
    )
    near.save_pretrained(folder / "near")
    settings = {"size": {"height": 28, "width": 28}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    (folder / "near" / "preprocessor_config.json").write_text(json.dumps(settings))
    far = GLPNForDepthEstimation(
        GLPNConfig(
            num_encoder_blocks=2,
            depths=[1, 1],
            sr_ratios=[2, 1],
            hidden_sizes=[8, 16],
            patch_sizes=[3, 3],
            strides=[4, 2],
            num_attention_heads=[1, 2],
            mlp_ratios=[2, 2],
            decoder_hidden_size=16,
        )
    )
    far.save_pretrained(folder / "far")
    (folder / "far" / "preprocessor_config.json").write_text(json.dumps({"size_divisor": 32, "size": 64}))
    (folder / "bert").mkdir()
    (folder / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "bert" / "model.safetensors").write_bytes((folder / "far" / "model.safetensors").read_bytes())
    return {"near": near.eval(), "far": far.eval()}


@pytest.fixture(autouse=True)
def run(home, estimators):
    with using_ambient(EngineRun("", Memory({"cpu": 2**30}), Numerics(device="cpu"))) as made:
        yield made


def picture(batch=1):
    return Image(torch.rand(batch, 40, 60, 3, generator=torch.Generator().manual_seed(0)))


@torch.no_grad()
def test_depth_is_the_models_at_the_pictures_size_over_the_whole_range(estimators):
    made = depth(picture(), "near").pixels
    assert made.shape == (1, 40, 60, 3)
    assert made.std(-1).max() == 0
    assert (made.min(), made.max()) == (0, 1)
    settings = {"size": {"height": 28, "width": 28}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    given = _prepared(picture().pixels.movedim(-1, 1), settings)
    assert given.shape[-2:] == (28, 42)
    raw = estimators["near"](pixel_values=given).predicted_depth[:, None]
    wanted = torch.nn.functional.interpolate(raw, (40, 60), mode="bicubic", align_corners=False)[0, 0]
    assert torch.allclose(made[0, ..., 0], (wanted - wanted.min()) / (wanted.max() - wanted.min()), atol=1e-5)


@torch.no_grad()
def test_near_is_white_also_for_models_that_tell_the_distance(estimators):
    raw = estimators["far"](pixel_values=_prepared(picture().pixels.movedim(-1, 1), {"size_divisor": 32, "size": 64}))
    wanted = torch.nn.functional.interpolate(
        raw.predicted_depth.reshape(1, 1, *raw.predicted_depth.shape[-2:]),
        (40, 60),
        mode="bicubic",
        align_corners=False,
    )[0, 0]
    made = depth(picture(), "far").pixels[0, ..., 0]
    assert made.argmax() == wanted.argmin()
    assert torch.allclose(depth(picture(), "far", "black").pixels[0, ..., 0], 1 - made, atol=1e-6)


def test_each_picture_of_a_batch_has_its_own_range():
    made = depth(picture(2), "near").pixels
    assert made.amax((1, 2, 3)).tolist() == [1, 1]
    assert torch.allclose(made[:1], depth(Image(picture(2).pixels[:1]), "near").pixels, atol=1e-5)


def test_a_model_that_knows_no_depth_is_refused(models):
    with pytest.raises(WeftError, match="bert is a bert, no depth estimator"):
        depth(picture(), "bert")
    with pytest.raises(WeftError) as caught:
        depth(picture(), "nothing")
    assert caught.value.code == "model.missing"
