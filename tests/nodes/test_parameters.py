import json

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
from hypothesis import given
from hypothesis import strategies as some

from nodes import parameters
from nodes.image.save import Extra, encode

LEVELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
DOCUMENT = {
    "weft": 1,
    "nodes": {
        "load": {"type": "load.model", "inputs": {"model": "dream.safetensors"}},
        "styled": {"type": "lora.apply", "inputs": {"model": {"from": "load.model"}}},
        "words": {"type": "values.text", "inputs": {"value": "a red sphere, (soft light:1.2)"}},
        "prompt": {"type": "text.encode", "inputs": {"text": {"from": "words.value"}}},
        "negative": {"type": "text.encode", "inputs": {"text": "blurry"}},
        "sample": {
            "type": "denoise.sample",
            "inputs": {
                "model": {"from": "styled.model"},
                "positive": {"from": "prompt.conditioning"},
                "negative": {"from": "negative.conditioning"},
                "seed": "random",
                "steps": 20,
                "cfg": 6.5,
                "sampler": "dpmpp_2m",
                "scheduler": "karras",
            },
        },
    },
}


def test_what_made_a_picture_is_found_along_the_wires():
    found = parameters.summary(DOCUMENT, {"sample.seed": 41}, item=1)
    assert found == {
        "prompt": "a red sphere, (soft light:1.2)",
        "negative": "blurry",
        "seed": 42,
        "steps": 20,
        "cfg": 6.5,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "model": "dream",
    }
    assert parameters.text(found, 512, 768) == (
        "a red sphere, (soft light:1.2)\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: dpmpp_2m, Schedule type: karras, CFG scale: 6.5, Seed: 42, Size: 512x768, Model: dream, "
        "Version: weft"
    )


def test_a_workflow_that_draws_nothing_has_nothing_to_say():
    assert parameters.summary({"nodes": {"a": {"type": "image.load", "inputs": {"name": "x"}}}}, {}) == {}
    assert parameters.text({}, 64, 64) == ""


words = some.text(some.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=60)
prompts = words.map(str.strip).filter(lambda t: t and not t.startswith(("Steps:", "Negative prompt:")))


@given(prompts, prompts, some.integers(0, 2**64 - 1), some.integers(1, 150), words.map(str.strip).filter(bool))
def test_what_is_written_is_read_back(prompt, negative, seed, steps, model):
    known = {"prompt": prompt, "negative": negative, "seed": seed, "steps": steps, "model": model}
    found = parameters.parse(parameters.text(known, 64, 32))
    assert {key: found.get(key) for key in known} == known


@given(some.text(max_size=400))
def test_no_text_is_too_strange_to_read(text):
    parameters.parse(text)


def test_a_text_of_another_program_is_understood():
    found = parameters.parse(
        "masterpiece, 1cat\nsecond line\nNegative prompt: lowres,\nbad hands\n"
        "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 3141592653, Size: 512x768, Model hash: 1a2b, "
        'Model: some_mix, Denoising strength: 0.45, Lora hashes: "a: 1, b: 2", Version: v1.9'
    )
    assert found == {
        "prompt": "masterpiece, 1cat\nsecond line",
        "negative": "lowres,\nbad hands",
        "steps": 28,
        "sampler": "DPM++ 2M Karras",
        "cfg": 7.5,
        "seed": 3141592653,
        "size": "512x768",
        "model": "some_mix",
        "denoise": 0.45,
    }


GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 25,
            "cfg": 8.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["10", 0],
            "positive": ["12", 0],
            "negative": ["7", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "10": {"class_type": "LoraLoader", "inputs": {"model": ["4", 0], "clip": ["4", 1]}},
    "12": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cube", "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
}


def test_a_graph_of_comfyui_is_followed_to_its_prompts():
    found = parameters.from_graph(GRAPH)
    assert found == {
        "seed": 7,
        "steps": 25,
        "cfg": 8.0,
        "sampler": "euler",
        "scheduler": "normal",
        "denoise": 1,
        "prompt": "a cube",
        "negative": "blurry",
        "model": "sd15",
    }
    loop = {"1": {"inputs": {"seed": 1, "positive": ["1", 0]}}}
    assert parameters.from_graph(loop) == {"seed": 1}
    assert parameters.from_graph({"1": "no node", "2": {"inputs": []}}) == {}


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_every_format_carries_the_text_where_galleries_look(tmp_path, format):
    text = parameters.text({"prompt": "Größe 色", "steps": 4}, 40, 24)
    (tmp_path / "p").write_bytes(encode(LEVELS, format, 90, Extra({}, text)))
    with PIL.Image.open(tmp_path / "p") as picture:
        if format == "png":
            assert picture.text["parameters"] == text
        else:
            comment = picture.getexif().get_ifd(0x8769)[0x9286]
            assert comment == b"UNICODE\0" + text.encode("utf-16-be")
    assert parameters.of_picture(tmp_path / "p") == {"prompt": "Größe 色", "steps": 4, "size": "40x24"}


def test_a_picture_of_comfyui_and_one_of_nobody(tmp_path):
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(GRAPH))
    PIL.Image.fromarray(LEVELS).save(tmp_path / "comfy.png", pnginfo=info)
    assert parameters.of_picture(tmp_path / "comfy.png")["prompt"] == "a cube"
    PIL.Image.fromarray(LEVELS).save(tmp_path / "plain.png")
    assert parameters.of_picture(tmp_path / "plain.png") == {}


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_comment_in_either_order_of_bytes_is_read(order):
    assert parameters._decoded(b"UNICODE\0" + "Steps: 4 色".encode(order)) == "Steps: 4 色"
    assert parameters._decoded(b"ASCII\0\0\0a cube") == "a cube"
