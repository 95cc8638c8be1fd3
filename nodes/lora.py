"""LoRA: small files that teach a model a style or a subject, at a strength (Hu et al. 2021).

Everything here is bookkeeping on recipes: headers are read, weights wait for the step that uses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from engine import places
from engine.errors import Mend, Problem, Where, refuse
from engine.node import Model, Range, node
from engine.sockets import Facts, copy, rule
from nodes.families.gguf.header import packed_as
from nodes.families.layer_names import BLOCK_NAME
from nodes.families.lora_file import (
    changes_weights,
    check_fit,
    has_lengths,
    ignored,
    matches,
    mismatch,
    read_lora,
    unused,
)
from nodes.families.quantized import quantized
from nodes.types import Denoiser, Lora, TextEncoder

Strength = Annotated[float, Range(-10, 10, 0.05, soft=(-1, 2))]
ALIKE = (
    rule("nodes.lora:fits"),
    copy("model.family", "model.family"),
    copy("model.latent_space", "model.latent_space"),
    copy("model.prediction", "model.prediction"),
    copy("model.text_layout", "model.text_layout"),
    copy("text_encoder.family", "text_encoder.family"),
    copy("text_encoder.text_layout", "text_encoder.text_layout"),
)
STRONG = 2.0  # a strength beyond which colours burn and shapes break
PASS = {"model": "model", "text_encoder": "text_encoder"}


class Applied(NamedTuple):
    """A model with LoRAs on it, its text encoder when one was wired, and how many layers of each file it has."""

    model: Denoiser
    text_encoder: TextEncoder | None
    report: str


@node("lora.load", title="Load LoRA", light=True, output="lora", aliases=("LoraLoaderModelOnly",))
def load(lora: Annotated[str, Model("loras")], strength: Strength = 1.0) -> Lora:
    """A LoRA's file, or the folder that diffusers or peft saved; LyCORIS' kinds too (LoHa, LoKr, LoCon, full, norm).

    Understands the names of diffusers, peft, kohya and XLabs, over diffusers' layers or those of the model's first
    code; DoRA and rsLoRA's alpha count. Reads the header only. Sources: Hu et al. 2021 (2106.09685), Yeh et al. 2023
    (2309.14859), Liu et al. 2024 (2402.09353). Errors: `model.missing`, `model.format` for what is pickled, damaged or
    no LoRA.

    Args:
        lora: A file under models/loras.
        strength: 1 as trained, 0 not at all, below 0 the opposite; multiplied by the strength where it is used.
    """
    return replace(read_lora(places.current().model("loras", lora)), strength=strength)


@node("lora.weight", title="LoRA strength", light=True, output="lora", aliases=("LoRA strength",))
def weight(lora: Lora, strength: Strength = 1.0) -> Lora:
    """The same LoRA, its strength multiplied: one file at several strengths."""
    return replace(lora, strength=lora.strength * strength)


@node(
    "lora.blocks",
    title="LoRA by block",
    light=True,
    output="lora",
    aliases=("LoRA Block Weight", "LoraLoaderBlockWeight", "LBW", "block weight"),
    bypass={"lora": "lora"},
)
def blocks(lora: Lora, **weights: float) -> Lora:
    """The same LoRA, its strength shared out by block of the model: style here, composition there.

    A block's own name wins over its group's; what is not named keeps all of the strength. UNets: `in00`..`in11`, `mid`,
    `out00`..`out11`, groups `in` and `out`, and `base` for the text encoder and what stands outside of blocks, as in
    A1111's block weights (https://github.com/hako-mikan/sd-webui-lora-block-weight). Stable Diffusion 3: `joint00`..
    and `joint`. Flux: `double00`.., `single00`.., `double`, `single`.

    Args:
        lora: From lora.load.
        weights: Block -> what its share of the strength is; 0 leaves the block as it was.
    """
    named = {name.lower().replace("m00", "mid"): float(weight) for name, weight in weights.items()}
    wrong = next((name for name in weights if not BLOCK_NAME.fullmatch(name)), None)
    if wrong is not None:
        raise refuse(
            f"no block is called '{wrong}'",
            socket="weights",
            mend="use in00 to in11, mid, out00 to out11, base, joint00, double00, single00, or in, out, double, ...",
        )
    return replace(lora, blocks=tuple(sorted({**dict(lora.blocks), **named}.items())))


@node(
    "lora.range",
    title="LoRA by step",
    light=True,
    output="lora",
    aliases=("LoRA hook", "LoRA scheduling"),
    bypass={"lora": "lora"},
)
def steps(
    lora: Lora,
    start: Annotated[float, Range(0, 1, 0.01)] = 0.0,
    end: Annotated[float, Range(0, 1, 0.01)] = 1.0,
) -> Lora:
    """The same LoRA, acting in a part of the steps only: a style that leaves the composition alone, from 0.3 on.

    The steps before its start do not depend on it: changing the LoRA denoises again from there only. It is taken on and
    off between steps; the text encoder, which runs once, has it in full.

    Args:
        lora: From lora.load.
        start: From which part of the steps on, 0 is the first.
        end: Until which part, 1 is the last.
    """
    if start >= end:
        mend = f"choose an end above {start:g}"
        raise refuse(f"the range from {start:g} to {end:g} has no step in it", socket="end", mend=mend)
    return replace(lora, start=start, end=end)


@node(
    "lora.apply",
    title="Apply LoRA",
    light=True,
    aliases=("LoraLoader", "LoRA"),
    facts=ALIKE,
    bypass=PASS,
    lints="nodes.lora:advice",
)
def apply(model: Denoiser, lora: Lora, strength: Strength = 1.0, text_encoder: TextEncoder | None = None) -> Applied:
    """A model with a LoRA on it; the strength 0 gives back the model itself, key and all.

    Args:
        model: The denoiser it was made for; one of another family or shape is an error (`facts.mismatch`).
        lora: From lora.load.
        strength: Times the LoRA's own.
        text_encoder: Wire it through as well when the LoRA was trained with its text encoder.
    """
    return stack(model, lora, strength=strength, text_encoder=text_encoder)


@node(
    "lora.stack",
    title="Stack LoRAs",
    light=True,
    aliases=("Lora Stacker", "Power Lora Loader"),
    facts=ALIKE,
    bypass=PASS,
    lints="nodes.lora:advice",
)
def stack(model: Denoiser, *loras: Lora, strength: Strength = 1.0, text_encoder: TextEncoder | None = None) -> Applied:
    """A model with any number of LoRAs on it, each at its own strength, in the order of the wires.

    Args:
        model: The denoiser they were made for.
        loras: From lora.load, or lora.weight.
        strength: One hand on all of them: multiplied with each one's own.
        text_encoder: Wire it through as well for LoRAs that were trained with their text encoder.
    """
    for lora in loras:
        _check(model, lora, text_encoder)
        if lora.strength * strength == 0:
            continue
        model = model.with_adapter(lora, strength)
        if text_encoder is not None and _changes(lora, text_encoder):
            text_encoder = text_encoder.with_adapter(lora, strength)
    return Applied(model, text_encoder, "\n".join(_report(model, lora, text_encoder) for lora in loras))


def _report(model: Denoiser, lora: Lora, text_encoder: TextEncoder | None) -> str:
    """`ink.safetensors: 192 of 192 layers of the model, 72 of 72 of text_encoder`."""
    parts = [("the model", matches(lora, model.base))]
    for part in text_encoder.parts if text_encoder is not None else ():
        parts += [(part.component, matches(lora, part, part.component))]
    told = [f"{mine} of {all_} layers of {of}" for of, (mine, all_) in parts if all_]
    return f"{Path(lora.weights.path).name}: {', '.join(told) or 'nothing of this model'}"


def fits(**inputs: Any) -> dict[str, Facts]:
    """The facts rule of both nodes: every LoRA that is known is one of this model's (torch-free, headers only)."""
    model, encoder = inputs.get("model"), inputs.get("text_encoder")
    given = inputs.get("loras", inputs.get("lora"))
    for lora in given if isinstance(given, list | tuple) else [given]:
        if isinstance(model, Denoiser) and isinstance(lora, Lora):
            _check(model, lora, encoder if isinstance(encoder, TextEncoder) else None)
    return {}


def advice(**inputs: Any) -> Iterator[Problem]:
    """The lints of both nodes: what of a file is not used here, and why."""
    model, encoder = inputs.get("model"), inputs.get("text_encoder")
    given = inputs.get("loras", inputs.get("lora"))
    for lora in given if isinstance(given, list | tuple) else [given]:
        if not (isinstance(model, Denoiser) and isinstance(lora, Lora)):
            continue
        name, parts = Path(lora.weights.path).name, encoder.parts if isinstance(encoder, TextEncoder) else ()
        lost = unused(lora, model.base) + [key for part in parts for key in unused(lora, part, part.component)]
        lost += ignored(lora)
        if lost:
            first = ", ".join(f"'{key}'" for key in lost[:3])
            yield _lint("lint.lora_unused", f"{len(lost)} layers or tensors in {name} are not used: {first}", "")
        strength = abs(lora.strength * inputs.get("strength", 1.0))
        if strength > STRONG:
            message = f"{name} at strength {strength:g} drowns the model: 0.5 to 1 is usual"
            yield _lint("lint.lora_strong", message, "use a strength of 1, or a LoRA trained further")
        if lora.encoders and encoder is None:
            yield _lint(
                "lint.lora_text",
                f"{name} was trained with its text encoder, which is not wired",
                "wire load.model's text_encoder through this node, and text.encode after it",
            )


def _lint(code: str, message: str, mend: str) -> Problem:
    return Problem(code, message, Where(socket="lora"), Mend(mend) if mend else None, severity="lint")


def _check(model: Denoiser, lora: Lora, text_encoder: TextEncoder | None) -> None:
    if lora.family and lora.family != model.family:
        raise mismatch(f"the LoRA was made for {lora.family}, the model is {model.family}")
    check_fit(lora, model.base)
    for part in text_encoder.parts if text_encoder is not None else ():
        check_fit(lora, part, part.component)
    if quantized(model.patches) and changes_weights(lora):
        raise refuse(
            f"{Path(lora.weights.path).name} needs the model's own numbers (LyCORIS or DoRA); this model is quantized",
            socket="lora",
            mend="take numerics.quantize out, or use another LoRA",
        )
    kind = packed_as(model.base.path)
    if kind and has_lengths(lora):
        raise refuse(
            f"{Path(lora.weights.path).name} is a DoRA, which needs the model's own numbers; this model's are packed"
            f" ({kind})",
            socket="lora",
            mend="use the model in safetensors, or a LoRA without DoRA",
        )


def _changes(lora: Lora, text_encoder: TextEncoder) -> bool:
    return any(part.component in lora.encoders for part in text_encoder.parts)
