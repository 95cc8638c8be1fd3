"""The names in LoRA files: which layer of which component a tensor belongs to, whoever wrote the file."""

import pytest

from nodes.families.lora_file import DENOISER, beside, layers, plain_name, split

ATTN = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
SELF = "text_model.encoder.layers.3.self_attn"


@pytest.mark.parametrize(
    ("key", "of", "layer", "down"),
    [
        (f"unet.{ATTN}.to_q.lora_A.weight", DENOISER, f"{ATTN}.to_q", True),
        (f"unet.{ATTN}.to_q.lora_B.default.weight", DENOISER, f"{ATTN}.to_q", False),
        (f"base_model.model.{ATTN}.to_q.lora_A.weight", DENOISER, f"{ATTN}.to_q", True),
        (f"{ATTN}.to_out.0.lora_B.weight", DENOISER, f"{ATTN}.to_out.0", False),
        (f"unet.{ATTN}.to_q.lora.up.weight", DENOISER, f"{ATTN}.to_q", False),
        (f"unet.{ATTN}.processor.to_out_lora.down.weight", DENOISER, f"{ATTN}.to_out.0", True),
        (f"{ATTN}.processor.to_k_lora.up.weight", DENOISER, f"{ATTN}.to_k", False),
        ("transformer.blocks.7.attn.add_q_proj.lora_A.weight", DENOISER, "blocks.7.attn.add_q_proj", True),
        ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", DENOISER, "mid_block_attentions_0_proj_in", True),
        ("lora_te_text_model_layers_3_fc1.lora_up.weight", "text_encoder", "text_model_layers_3_fc1", False),
        ("lora_te2_text_model_layers_3_fc1.lora_up.weight", "text_encoder_2", "text_model_layers_3_fc1", False),
        (f"text_encoder.{SELF}.q_proj.lora_linear_layer.down.weight", "text_encoder", f"{SELF}.q_proj", True),
        (f"text_encoder_2.{SELF}.to_q_lora.up.weight", "text_encoder_2", f"{SELF}.q_proj", False),
    ],
)  # fmt: skip
def test_a_tensors_name_tells_its_component_and_layer(key, of, layer, down):
    assert split(key) == (of, layer, down)


@pytest.mark.parametrize(
    "key", ["conv_in.weight", "lora_unet_x.alpha", "a.lora_B.bias", "x.dora_scale", "x.hada_w1_a", "lora_A.weight", ""]
)
def test_what_is_neither_matrix_is_not_taken_for_one(key):
    assert split(key) is None


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("lora_unet_mid_block_attentions_0_proj_in.alpha", "alpha"),
        (f"unet.{ATTN}.to_q.lora_magnitude_vector", "lora_magnitude_vector"),
        (f"unet.{ATTN}.to_q.lora_magnitude_vector.default.weight", "lora_magnitude_vector"),
        (f"unet.{ATTN}.to_q.lora_B.bias", "lora_B.bias"),
    ],
)
def test_what_stands_beside_the_matrices_is_known_by_name(key, what):
    found = beside(key)
    assert found is not None
    assert (found[0], found[2]) == (DENOISER, what)


def test_dots_underscores_and_the_dropped_text_model_do_not_part_a_layer_from_itself():
    assert plain_name(f"{ATTN}.to_q") == plain_name(f"{ATTN}.to_q".replace(".", "_"))
    assert plain_name(f"{SELF}.q_proj") == plain_name("encoder.layers.3.self_attn.q_proj")
    assert plain_name(f"{ATTN}.to_q") != plain_name(f"{ATTN}.to_k")


def test_both_matrices_make_one_layer_with_its_shapes():
    header = {f"unet.{ATTN}.to_q.lora_{end}.weight": ("F16", shape) for end, shape in (("A", (4, 16)), ("B", (32, 4)))}
    (layer,) = layers(header)
    assert (layer.of, layer.down, layer.up, layer.key) == (DENOISER, (4, 16), (32, 4), plain_name(f"{ATTN}.to_q"))
