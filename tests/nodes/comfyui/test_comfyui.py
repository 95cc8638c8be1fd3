"""Graphs of ComfyUI become graphs of Weft that mean the same; what has no counterpart is kept and told."""

import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine import pictures
from engine.errors import WeftError
from engine.graph import check
from engine.memory import Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.registry import load_registry
from engine.session import Session
from engine.workflow import foreign, from_json, parse
from nodes.comfyui import convert
from nodes.comfyui.plain import PLAIN
from nodes.comfyui.special import RULES
from nodes.comfyui.widgets import WIDGETS
from tests.nodes.comfyui.graphs import SAMPLING, Editor, api, text_to_image

REGISTRY = load_registry()


def made(record):
    document, told = convert(record)
    return document["nodes"], told


def wrong(record):
    """What the checker says of it, but for models that are not there."""
    workflow, _ = foreign.convert(record, REGISTRY)
    return [problem.message for problem in check(workflow, REGISTRY) if problem.severity != "lint"]


def test_the_first_graph_everybody_has_is_the_one_everybody_would_wire_here():
    nodes, told = made(text_to_image())
    assert told == []
    assert {name: node["type"] for name, node in nodes.items()} == {
        "load": "load.model",
        "canvas": "latent.empty",
        "prompt": "text.encode",
        "negative": "text.encode",
        "sample": "denoise.sample",
        "decode": "vae.decode",
        "save": "image.save",
    }
    assert nodes["canvas"]["inputs"]["model"] == {"from": "load.model"}, "the model that will fill it says its channels"
    assert nodes["sample"]["inputs"] == {
        "model": {"from": "load.model"},
        "positive": {"from": "prompt.conditioning"},
        "negative": {"from": "negative.conditioning"},
        "latent": {"from": "canvas.latent"},
        "seed": 5,
        "steps": 2,
        "cfg": 4.0,
        "sampler": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    assert wrong(text_to_image()) == []
    document, _ = convert(text_to_image())
    assert set(document["parameters"]) == {"prompt", "negative", "seed", "steps", "cfg"}
    assert document["outputs"] == {"image": "save.image"}


def test_it_runs_and_gives_the_picture_of_our_own_graph(tiny_sd1, home):
    def run_flow(workflow):
        with Session(places=home, memory=Memory(), records=Records(), numerics=Numerics("cpu", threads=1)) as session:
            return session.run(workflow).outputs

    workflow, told = foreign.convert(text_to_image(), REGISTRY)
    assert told == []
    theirs = run_flow(workflow)["image"].pil()[0]
    own = run_flow(from_json({"weft": 1, "nodes": OWN, "outputs": {"image": "decode.image"}}))["image"].pil()[0]
    assert theirs.tobytes() == own.tobytes()


OWN = {
    "load": {"type": "load.model", "inputs": {"model": "tiny-sd1"}},
    "canvas": {"type": "latent.empty", "inputs": {"model": {"from": "load.model"}, "width": 64, "height": 64}},
    "yes": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "a red cube"}},
    "no": {"type": "text.encode", "inputs": {"encoder": {"from": "load.text_encoder"}, "text": "blurry"}},
    "sample": {
        "type": "denoise.sample",
        "inputs": {
            "model": {"from": "load.model"},
            "positive": {"from": "yes"},
            "negative": {"from": "no"},
            "latent": {"from": "canvas"},
            "seed": 5,
            "steps": 2,
            "cfg": 4.0,
        },
    },
    "decode": {
        "type": "vae.decode",
        "inputs": {"vae": {"from": "load.vae"}, "latent": {"from": "sample.latent"}},
    },
}


def test_the_editors_file_gives_the_same_graph_as_the_apis(tmp_path):
    editor = Editor()
    editor.node(4, "CheckpointLoaderSimple", ["tiny-sd1"])
    editor.node(5, "EmptyLatentImage", [64, 64, 1])
    editor.node(6, "CLIPTextEncode", ["a red cube"], clip=(4, 1))
    editor.node(20, "Reroute", clip=(4, 1))
    editor.node(7, "CLIPTextEncode", ["blurry"], clip=(20, 0))
    editor.node(
        3,
        "KSampler",
        [5, "fixed", 2, 4.0, "euler", "normal", 1.0],
        model=(4, 0),
        positive=(6, 0),
        negative=(7, 0),
        latent_image=(5, 0),
    )
    editor.node(8, "VAEDecode", samples=(3, 0), vae=(4, 2))
    editor.node(9, "SaveImage", ["ComfyUI"], images=(8, 0))
    assert made(editor.record())[0] == made(text_to_image())[0]


def test_a_seed_that_is_rolled_there_is_rolled_here_and_a_picture_has_the_one_that_made_it(tmp_path):
    editor = Editor()
    editor.node(3, "KSampler", [5, "randomize", 2, 4.0, "euler", "normal", 1.0])
    assert made(editor.record())[0]["sample"]["inputs"]["seed"] == "random"
    info = PngInfo()
    info.add_text("workflow", json.dumps(editor.record()))
    info.add_text("prompt", json.dumps(text_to_image()))
    Image.new("RGB", (8, 8)).save(tmp_path / "made.png", pnginfo=info)
    record = pictures.foreign(tmp_path / "made.png")
    assert made(record)[0]["sample"]["inputs"]["seed"] == 5


def test_primitives_notes_modes_titles_and_named_widgets_of_the_editor_are_understood():
    editor = Editor()
    editor.node(1, "PrimitiveNode", [77, "fixed"])
    editor.node(2, "MarkdownNote", ["Read me first."])
    editor.node(3, "KSampler", [5, "fixed", 2, 4.0, "euler", "normal", 1.0], mode=4, title="Second pass", seed=(1, 0))
    editor.node(4, "SomebodysNode", [3, "soft"], amount=None, edge=None)
    document, told = convert(editor.record())
    sample = document["nodes"]["sample"]
    assert sample["inputs"]["seed"] == 77 and sample["mode"] == "bypass" and sample["title"] == "Second pass"
    assert document["about"].endswith("Read me first.")
    assert document["nodes"]["somebodysnode"] == {"type": "SomebodysNode", "inputs": {"amount": 3, "edge": "soft"}}
    assert ["no node for 'SomebodysNode'" in line for line in told] == [True]


def test_a_sub_graph_is_opened_up():
    inner = {
        "id": "b0a1",
        "name": "decode and save",
        "inputs": [{"name": "samples"}, {"name": "vae"}, {"name": "filename_prefix"}],
        "outputs": [{"name": "IMAGE"}],
        "nodes": [
            {
                "id": 1,
                "type": "VAEDecode",
                "inputs": [{"name": "samples", "link": 10}, {"name": "vae", "link": 11}],
                "outputs": [{"name": "IMAGE"}],
            },
            {
                "id": 2,
                "type": "SaveImage",
                "inputs": [
                    {"name": "images", "link": 12},
                    {"name": "filename_prefix", "link": 13, "widget": {"name": "filename_prefix"}},
                ],
                "widgets_values": ["inside"],
            },
        ],
        "links": [
            {"id": 10, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 11, "origin_id": -10, "origin_slot": 1, "target_id": 1, "target_slot": 1},
            {"id": 12, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0},
            {"id": 13, "origin_id": -10, "origin_slot": 2, "target_id": 2, "target_slot": 1},
            {"id": 14, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    editor = Editor()
    editor.node(3, "KSampler", [5, "fixed", 2, 4.0, "euler", "normal", 1.0])
    editor.node(4, "VAELoader", ["a.safetensors"])
    editor.node(5, "b0a1", ["outside"], samples=(3, 0), vae=(4, 0), filename_prefix=None)
    editor.node(6, "ImageInvert", image=(5, 0))
    nodes, told = made(editor.record(definitions={"subgraphs": [inner]}))
    assert told == []
    assert nodes["decode"]["inputs"] == {"latent": {"from": "sample.latent"}, "vae": {"from": "vae.vae"}}
    assert nodes["save"]["inputs"] == {"image": {"from": "decode.image"}, "name": "outside"}
    assert nodes["invert"]["inputs"] == {"image": {"from": "decode.image"}}


def test_controlnets_ride_on_a_conditioning_there_and_are_the_samplers_here():
    applied = {"strength": 0.8, "start_percent": 0.0, "end_percent": 0.5, "control_net": ("12", 0), "image": ("11", 0)}
    record = text_to_image(
        n10=("ControlNetLoader", {"control_net_name": "union.safetensors"}),
        n12=("SetUnionControlNetType", {"control_net": ("10", 0), "type": "openpose"}),
        n11=("LoadImage", {"image": "pose.png"}),
        n13=("ControlNetApplyAdvanced", {"positive": ("6", 0), "negative": ("7", 0), **applied}),
        n14=("ControlNetApplyAdvanced", {"positive": ("13", 0), "negative": ("13", 1), **applied}),
    )
    record["3"]["inputs"] |= {"positive": ["14", 0], "negative": ["14", 1]}
    nodes, told = made(record)
    assert told == []
    assert nodes["sample"]["inputs"]["control"] == {"from": "apply_2.control"}
    assert nodes["apply_2"]["inputs"]["previous"] == {"from": "apply.control"}
    assert nodes["apply"]["inputs"]["mode"] == "pose" and nodes["apply"]["inputs"]["end"] == 0.5
    assert nodes["sample"]["inputs"]["positive"] == {"from": "prompt.conditioning"}
    assert wrong(record) == []


def test_a_lora_has_one_strength_for_both_or_each_its_own():
    def loaded(clip):
        record = text_to_image(
            n10=(
                "LoraLoader",
                {
                    "lora_name": "styles\\ink.safetensors",
                    "strength_model": 0.7,
                    "strength_clip": clip,
                    "model": ("4", 0),
                    "clip": ("4", 1),
                },
            )
        )
        record["3"]["inputs"]["model"] = ["10", 0]
        record["6"]["inputs"]["clip"] = ["10", 1]
        assert wrong(record) == []
        return made(record)[0]

    both = loaded(0.7)
    assert both["lora"]["inputs"] == {"lora": "styles/ink.safetensors", "strength": 0.7}
    assert both["prompt"]["inputs"]["encoder"] == {"from": "apply.text_encoder"}
    each = loaded(0.2)
    assert each["lora_2"]["inputs"]["strength"] == 0.2
    assert each["sample"]["inputs"]["model"] == {"from": "apply.model"}
    assert each["prompt"]["inputs"]["encoder"] == {"from": "apply_2.text_encoder"}


def test_flux_with_its_choices_as_nodes_becomes_one_sampler():
    record = api(
        n1=("UNETLoader", {"unet_name": "flux1-dev.safetensors", "weight_dtype": "fp8_e4m3fn"}),
        n2=("DualCLIPLoader", {"clip_name1": "t5xxl.safetensors", "clip_name2": "clip_l.safetensors", "type": "flux"}),
        n3=("VAELoader", {"vae_name": "ae.safetensors"}),
        n4=("CLIPTextEncode", {"text": "a cat", "clip": ("2", 0)}),
        n5=("FluxGuidance", {"conditioning": ("4", 0), "guidance": 3.5}),
        n6=("BasicGuider", {"model": ("1", 0), "conditioning": ("5", 0)}),
        n7=("RandomNoise", {"noise_seed": 9}),
        n8=("KSamplerSelect", {"sampler_name": "euler"}),
        n9=("BasicScheduler", {"model": ("1", 0), "scheduler": "simple", "steps": 20, "denoise": 1.0}),
        n10=("EmptySD3LatentImage", {"width": 1024, "height": 1024, "batch_size": 1}),
        n11=(
            "SamplerCustomAdvanced",
            {"noise": ("7", 0), "guider": ("6", 0), "sampler": ("8", 0), "sigmas": ("9", 0), "latent_image": ("10", 0)},
        ),
        n12=("VAEDecode", {"samples": ("11", 0), "vae": ("3", 0)}),
        n13=("SaveImage", {"filename_prefix": "flux", "images": ("12", 0)}),
    )
    nodes, told = made(record)
    assert told == []
    sample = nodes["sample"]["inputs"]
    assert sample["guidance"] == {"from": "embedded.guidance"} and nodes["embedded"]["inputs"] == {"scale": 3.5}
    assert (sample["seed"], sample["steps"], sample["cfg"], sample["sampler"]) == (9, 20, 1.0, "euler")
    assert sample["model"] == nodes["canvas"]["inputs"]["model"] == {"from": "precision.model"}
    assert nodes["precision"]["inputs"]["storage"] == "float8_e4m3fn"
    assert wrong(record) == []


def test_the_sampler_that_stops_at_a_step_hands_its_noise_over_as_there():
    def advanced(**more):
        inputs = {**SAMPLING, "noise_seed": 5, "add_noise": "enable", "start_at_step": 0, "end_at_step": 10_000}
        del inputs["seed"], inputs["denoise"]
        return {**inputs, "steps": 20, "return_with_leftover_noise": "disable", **more}

    record = text_to_image(
        n20=("KSamplerAdvanced", advanced(end_at_step=12, return_with_leftover_noise="enable")),
        n21=("KSamplerAdvanced", advanced(start_at_step=12, add_noise="disable", latent_image=("20", 0))),
    )
    first, second = (made(record)[0][name]["inputs"] for name in ("sample_2", "sample_3"))
    assert (first["stop_step"], first.get("start_step"), first.get("leftover_noise")) == (12, None, None)
    assert (second["start_step"], second.get("stop_step"), second["add_noise"]) == (12, None, False)
    assert wrong(record) == []


def test_what_patches_a_model_there_is_a_way_of_guiding_here():
    record = text_to_image(
        n20=("PerturbedAttentionGuidance", {"model": ("4", 0), "scale": 3.0}),
        n21=("RescaleCFG", {"model": ("20", 0), "multiplier": 0.7}),
        n22=("FreeU_V2", {"model": ("21", 0), "b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    )
    record["3"]["inputs"]["model"] = ["22", 0]
    nodes, told = made(record)
    assert told == [] == wrong(record)
    assert nodes["sample"]["inputs"]["guidance"] == {"from": "pag.guidance"}
    assert nodes["pag"]["inputs"] == {"guidance": {"from": "cfg.guidance"}, "scale": 3.0}
    assert nodes["cfg"]["inputs"] == {"scale": 4.0, "rescale": 0.7}
    assert nodes["sample"]["inputs"]["model"] == {"from": "freeu.model"}


def test_a_batch_has_one_stream_of_noise_as_it_has_there():
    record = text_to_image()
    record["5"]["inputs"]["batch_size"] = 4
    nodes, _ = made(record)
    assert nodes["canvas"]["inputs"]["batch"] == 4
    assert nodes["make"]["inputs"] == {"seed": 5, "single_stream": True}
    assert nodes["sample"]["inputs"]["noise"] == {"from": "make.noise"}


def test_what_has_another_name_or_none_is_told(tmp_path):
    record = text_to_image()
    record["3"]["inputs"] |= {"sampler_name": "res_multistep", "scheduler": "kl_optimal"}
    nodes, told = made(record)
    assert (nodes["sample"]["inputs"]["sampler"], nodes["sample"]["inputs"]["scheduler"]) == ("euler", "simple")
    assert "no sampler 'res_multistep'" in told[0] and "no spacing 'kl_optimal'" in told[1]
    document, _ = convert(record)
    assert "res_multistep" in document["view"]["notes"]["imported"]["text"]


def test_an_unknown_class_keeps_its_wires_on_both_sides():
    record = text_to_image(n30=("FaceDetailer", {"image": ("8", 0), "size": 512, "mode": {"a": 1}}))
    record["9"]["inputs"]["images"] = ["30", 0]
    document, _ = convert(record)
    assert document["nodes"]["facedetailer"]["inputs"] == {
        "image": {"from": "decode.image"},
        "size": 512,
        "mode": {"value": {"a": 1}},
    }
    assert document["nodes"]["save"]["inputs"]["image"] == {"from": "facedetailer.out_0"}
    assert from_json({"title": "", **document}).nodes["facedetailer"].type == "FaceDetailer"


def test_sub_graphs_that_multiply_without_end_are_refused():
    levels = [
        {"id": f"g{n}", "nodes": [{"id": k, "type": f"g{n + 1}"} for k in range(10)], "links": []} for n in range(12)
    ]
    editor = Editor()
    editor.node(1, "g0")
    with pytest.raises(WeftError, match="more than 20,000 nodes"):
        convert(editor.record(definitions={"subgraphs": levels}))


def test_a_circle_is_left_out_and_told():
    record = api(n1=("ImageInvert", {"image": ("2", 0)}), n2=("ImageInvert", {"image": ("1", 0)}))
    nodes, told = made(record)
    assert nodes == {} and "circle" in told[0]


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_every_plain_class_names_a_node_its_inputs_and_its_outputs(kind):
    rule = PLAIN[kind]
    spec = REGISTRY.get(rule.type)
    assert spec is not None
    ours = {(named if isinstance(named, str) else named[0]).removesuffix("[]") for named in rule.inputs.values()}
    assert ours | set(rule.more) <= set(spec.by_name)
    assert set(rule.outs) <= {out.name for out in spec.outputs}


def test_every_class_whose_widgets_are_known_is_one_that_is_taken_over():
    assert set(WIDGETS) - set(RULES) == set()


def test_a_file_of_comfyui_says_how_it_is_taken_over():
    with pytest.raises(WeftError) as caught:
        parse(json.dumps(text_to_image()), "graph.json")
    assert caught.value.problem.mend.text == "weft import graph.json"


@pytest.mark.parametrize("record", [{}, {"weft": 1}, {"nodes": 3}, {"a": {"class_type": 3}}, {"prompt": {}}])
def test_anything_else_is_left_alone(record):
    assert convert(record) is None
