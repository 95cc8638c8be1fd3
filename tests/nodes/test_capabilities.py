"""What works with which family: every cell is tried on a small model, and docs/capabilities.md is what came out.

A cell is a graph. Where the plan refuses it, the cell is the refusal's words; else it is run for two steps, and must
give finite latents that differ from those of plain text-to-image. `pytest --update-golden` writes the page anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import PIL.Image
import pytest
import torch

from engine.memory import Memory
from engine.numerics import Numerics
from engine.places import Places
from engine.records import Records
from engine.session import Session
from engine.workflow import from_json
from nodes.families.sdxl import WIDTHS as XL_WIDTHS
from tests.nodes.conftest import make_controlnet
from tests.parity.test_ip_adapter import adapter as ip_adapter_file
from tests.parity.test_ip_adapter import vision

PAGE = Path(__file__).resolve().parents[2] / "docs" / "capabilities.md"
SIDE = 64
Nodes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """A family by the name people know it by, and the small model that stands for it."""

    title: str
    model: str
    guided: bool = True  # takes CFG
    module: str = "unet"


FAMILIES = (
    Family("SD 1.x, 2.x", "tiny-sd1"),
    Family("SDXL", "tiny-sdxl"),
    Family("SD 3", "tiny-sd3", module="transformer"),
    Family("Flux.1 dev", "tiny-flux", guided=False, module="transformer"),
    Family("Flux.1 schnell", "tiny-schnell", guided=False, module="transformer"),
)


def box(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of the file; `"a.b"` is a wire."""
    wired = {
        name: {"from": value[1:]} if isinstance(value, str) and value.startswith("@") else value
        for name, value in inputs.items()
    }
    return {"type": kind, "version": 1, "inputs": wired}


def plain(family: Family) -> Nodes:
    """Text to image, in two steps."""
    guided = {"negative": "@negative.conditioning", "cfg": 3.0} if family.guided else {"cfg": 1.0}
    return {
        "load": box("load.model", model=family.model),
        "prompt": box("text.encode", encoder="@load.text_encoder", text="a red cube"),
        "negative": box("text.encode", encoder="@load.text_encoder", text=""),
        "canvas": box("latent.empty", model="@load.model", width=SIDE, height=SIDE),
        "sample": box(
            "denoise.sample",
            model="@load.model",
            positive="@prompt.conditioning",
            latent="@canvas.latent",
            steps=2,
            **guided,
        ),
    }


# --- techniques: each changes the plain graph -----------------------------------------------------------------------


def text_to_image(nodes: Nodes, family: Family) -> None:
    """Nothing to change."""


def image_to_image(nodes: Nodes, family: Family) -> None:
    nodes["picture"] = box("image.load", name="red.png")
    nodes["canvas"] = box("vae.encode", vae="@load.vae", image="@picture.image")
    nodes["sample"]["inputs"]["denoise"] = 0.5


def inpaint(nodes: Nodes, family: Family) -> None:
    image_to_image(nodes, family)
    nodes["area"] = box("mask.rectangle", width=SIDE, height=SIDE, left=0, top=0, right=32, bottom=32)
    nodes["canvas"]["inputs"]["mask"] = {"from": "area.mask"}
    nodes["sample"]["inputs"]["denoise"] = 1.0


def control(nodes: Nodes, family: Family) -> None:
    nodes["hint"] = box("image.load", name="red.png")
    nodes["net"] = box("control.load", controlnet=f"{family.model}-net")
    more = {"vae": "@load.vae"} if family.module == "transformer" else {}
    nodes["control"] = box("control.apply", controlnet="@net.controlnet", image="@hint.image", **more)
    nodes["sample"]["inputs"]["control"] = {"from": "control.control"}


def ip_adapter(nodes: Nodes, family: Family) -> None:
    nodes["seen"] = box("image.load", name="red.png")
    nodes["adapter"] = box("ip_adapter.load", adapter=f"{family.model}.safetensors", encoder="small")
    nodes["like"] = box("ip_adapter.encode", adapter="@adapter.adapter", images="@seen.image")
    nodes["shown"] = box("ip_adapter.apply", model="@load.model", adapter="@adapter.adapter", prompt="@like.prompt")
    nodes["sample"]["inputs"]["model"] = {"from": "shown.model"}


def lora(nodes: Nodes, family: Family) -> None:
    nodes["file"] = box("lora.load", lora=f"{family.model}-style.safetensors")
    nodes["styled"] = box("lora.apply", model="@load.model", lora="@file.lora")
    nodes["sample"]["inputs"]["model"] = {"from": "styled.model"}


def negative(nodes: Nodes, family: Family) -> None:
    nodes["sample"]["inputs"] |= {"negative": {"from": "negative.conditioning"}, "cfg": 7.0}


def distilled(nodes: Nodes, family: Family) -> None:
    nodes["told"] = box("guidance.embedded", scale=2.0)
    nodes["sample"]["inputs"] |= {"guidance": {"from": "told.guidance"}}


def together(nodes: Nodes, family: Family) -> None:
    nodes["other"] = box("text.encode", encoder="@load.text_encoder", text="a blue sphere")
    nodes["left"] = box("text.place", conditioning="@prompt.conditioning", width=0.5)
    nodes["right"] = box("text.place", conditioning="@other.conditioning", x=0.5, width=0.5)
    both = [{"from": "left.conditioning"}, {"from": "right.conditioning"}]
    nodes["both"] = {"type": "text.combine", "version": 1, "inputs": {"conditionings": both}}
    nodes["sample"]["inputs"]["positive"] = {"from": "both.conditioning"}


def stopped(nodes: Nodes, family: Family) -> None:
    nodes["sample"]["inputs"]["stop_step"] = 1


def guided(kind: str, **inputs: Any) -> Callable[[Nodes, Family], None]:
    """Another guidance in place of plain CFG; those that add a third prediction stand on CFG's."""

    def change(nodes: Nodes, family: Family) -> None:
        nodes["cfg"] = box("guidance.cfg", scale=3.0 if family.guided else 1.0)
        under = {"guidance": "@cfg.guidance"} if kind in ("pag", "seg", "skip_layers") else {"scale": 3.0}
        nodes["guide"] = box(f"guidance.{kind}", **{**under, **inputs})
        nodes["sample"]["inputs"] |= {"guidance": {"from": "guide.guidance"}}
        nodes["sample"]["inputs"] |= {"negative": {"from": "negative.conditioning"}}

    return change


def changed(kind: str, **inputs: Any) -> Callable[[Nodes, Family], None]:
    """A node between the loader and the sampler; caches need a few steps to have something to reuse."""

    def change(nodes: Nodes, family: Family) -> None:
        nodes["change"] = box(kind, model="@load.model", **inputs)
        nodes["sample"]["inputs"] |= {"model": {"from": "change.model"}}
        if kind.startswith("numerics."):
            nodes["sample"]["inputs"]["steps"] = 8

    return change


def freeu(nodes: Nodes, family: Family) -> None:
    changed("model.freeu", b1=1.2, b2=1.4, s1=0.9, s2=0.2)(nodes, family)


def differential(nodes: Nodes, family: Family) -> None:
    inpaint(nodes, family)
    nodes["area"] = box("mask.solid", width=SIDE, height=SIDE, value=0.5)
    changed("model.differential")(nodes, family)


TECHNIQUES: dict[str, Callable[[Nodes, Family], None]] = {
    "text to image": text_to_image,
    "image to image": image_to_image,
    "inpaint by a mask": inpaint,
    "CFG, negative prompt": negative,
    "guidance as an input": distilled,
    "areas, several prompts": together,
    "stop and go on": stopped,
    "ControlNet": control,
    "IP-Adapter": ip_adapter,
    "LoRA": lora,
    "CFG-Zero*": guided("cfg_zero"),
    "APG": guided("apg"),
    "TCFG": guided("tcfg"),
    "PAG": guided("pag"),
    "SEG": guided("seg"),
    "skip layers": guided("skip_layers", stop=1.0),
    "FreeU": freeu,
    "differential diffusion": differential,
    "DeepCache": changed("numerics.deep_cache"),
    "FirstBlockCache": changed("numerics.first_block_cache", threshold=0.5),
    "TaylorSeer": changed("numerics.taylor_seer"),
    "pyramid attention": changed("numerics.pyramid_attention", first=900, last=10),
}


# --- the models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(tmp_path_factory, models, tiny_sd1, tiny_sdxl, tiny_sd3, tiny_flux, tiny_schnell):
    home = tmp_path_factory.mktemp("home")
    (home / "input").mkdir()
    picture = PIL.Image.new("RGB", (SIDE, SIDE), "red")
    picture.paste("blue", (8, 8, 40, 40))
    picture.save(home / "input" / "red.png")
    for family in FAMILIES:
        base = models / "checkpoints" / family.model
        style(models / "loras", base, family)
        if family.module == "unet":
            make_controlnet(models / "controlnet" / f"{family.model}-net", base)
        else:
            transformer_controlnet(models / "controlnet" / f"{family.model}-net", base)
        # There is an IP-Adapter for UNets alone; the others are shown one of SD 1.x.
        seen = diffusers.UNet2DConditionModel.from_pretrained((base if family.module == "unet" else tiny_sd1) / "unet")
        ip_adapter_file(models / "ip_adapter" / f"{family.model}.safetensors", seen)
    vision(models / "clip_vision" / "small")
    # An adapter says of which model it is by its width, and the small SDXL is as wide as none that there is.
    patch = pytest.MonkeyPatch()
    patch.setattr("nodes.families.ip_adapter.XL_WIDTHS", {**XL_WIDTHS, 64: "sdxl-64"})
    places = Places(home=home, model_folders=(models,))
    made = Session(places=places, records=Records(), memory=Memory({"cpu": 2**33}), numerics=Numerics(device="cpu"))
    yield made
    made.close()
    patch.undo()


def style(folder, base, family):
    """A LoRA on the denoiser's attention, both matrices random, so that it acts."""
    from peft import LoraConfig

    kind = {"tiny-sd3": "SD3Transformer2DModel"}.get(family.model, "FluxTransformer2DModel")
    cls = diffusers.UNet2DConditionModel if family.module == "unet" else getattr(diffusers, kind)
    module = cls.from_pretrained(base / family.module)
    targets = ["to_q", "to_k", "to_v"]
    module.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False))
    for name, weight in module.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    module.save_lora_adapter(folder, weight_name=f"{family.model}-style.safetensors")


def transformer_controlnet(folder, base):
    """A ControlNet of SD 3 or Flux, its output layers not zero."""
    torch.manual_seed(5)
    if (base / "text_encoder_3").is_dir():
        transformer = diffusers.SD3Transformer2DModel.from_pretrained(base / "transformer")
        net = diffusers.SD3ControlNetModel.from_transformer(transformer, 1, 0)
        blocks = list(net.controlnet_blocks)
    else:
        transformer = diffusers.FluxTransformer2DModel.from_pretrained(base / "transformer")
        config = transformer.config
        net = diffusers.FluxControlNetModel.from_transformer(
            transformer,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=config.attention_head_dim,
            num_attention_heads=config.num_attention_heads,
        )
        blocks = [*net.controlnet_blocks, *net.controlnet_single_blocks, net.controlnet_x_embedder]
    for block in blocks:
        torch.nn.init.normal_(block.weight, std=0.2)
    net.save_pretrained(folder)


# --- the table -------------------------------------------------------------------------------------------------------


def latents(session, nodes):
    result = session.run(from_json({"weft": 1, "nodes": nodes, "outputs": {"latent": "sample.latent"}}))
    assert result.state == "succeeded", result.problems
    found = result["latent"].samples
    assert found.isfinite().all()
    return found


def without(nodes, family):
    """The graph that a technique has to differ from: without its node, or plain text-to-image in as many steps."""
    if "change" in nodes:
        sample = {**nodes["sample"], "inputs": {**nodes["sample"]["inputs"], "model": {"from": "load.model"}}}
        return {**{name: node for name, node in nodes.items() if name != "change"}, "sample": sample}
    base = plain(family)
    base["sample"]["inputs"]["steps"] = nodes["sample"]["inputs"]["steps"]
    return base


def cell(session, family, technique):
    """`yes`, or the words of the first refusal."""
    nodes = plain(family)
    TECHNIQUES[technique](nodes, family)
    flow = from_json({"weft": 1, "nodes": nodes, "outputs": {"latent": "sample.latent"}})
    problems = session.plan(flow).problems
    if problems:
        return problems[0].message
    found, plainly = latents(session, nodes), latents(session, without(nodes, family))
    if technique != "text to image":
        assert found.shape != plainly.shape or not torch.equal(found, plainly), f"{technique} changes nothing"
    return "yes"


@pytest.fixture(scope="module")
def found(session):
    return {(family, name): cell(session, family, name) for family in FAMILIES for name in TECHNIQUES}


def page(found) -> str:
    lines = [
        "# What works with which family",
        "",
        "Every cell was tried by `tests/nodes/test_capabilities.py`, which writes this page: a graph on a small model",
        "of the family that runs and makes a difference, or is refused before anything runs, with the reason that is",
        "under the table.",
        "",
        "| | " + " | ".join(family.title for family in FAMILIES) + " |",
        "|---|" + "---|" * len(FAMILIES),
    ]
    notes: list[str] = []
    for name in TECHNIQUES:
        row = []
        for family in FAMILIES:
            said = found[family, name]
            if said != "yes":
                if said not in notes:
                    notes.append(said)
                said = f"– ({notes.index(said) + 1})"
            row.append(said)
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    lines += ["", *(f"{index}. {note}" for index, note in enumerate(notes, 1)), ""]
    return "\n".join(lines)


def test_the_page_says_what_was_found(found, update_golden):
    made = page(found)
    if update_golden:
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made


@pytest.mark.parametrize("name", ["text to image", "image to image", "inpaint by a mask", "LoRA", "stop and go on"])
def test_every_family_has_the_ground(found, name):
    assert {found[family, name] for family in FAMILIES} == {"yes"}
