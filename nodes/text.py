"""Text: from a prompt to what the denoiser is conditioned on, and how several prompts act together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from engine import places
from engine.errors import Mend, Problem, Where, fail, refuse
from engine.node import Help, Multiline, Range, node
from engine.run import Run
from engine.sockets import copy, facts_of, rule
from nodes.families import family_of
from nodes.prompt import parse
from nodes.prompt.parse import Weights
from nodes.types import Conditioning, Entry, Framing, Mask, TextEncoder

Fraction = Annotated[float, Range(0, 1, 0.01)]
HEAVIEST = 100.0  # a weight beyond which nothing but noise can come
PROMPT = Multiline(prompt=True, names="nodes.prompt.writing:names", tokens="nodes.prompt.writing:tokens")
Side = Annotated[int, Range(1, 16_384, 8, soft=(64, 2048))]


@node(
    "text.encode",
    title="Encode prompt",
    advanced=("clip_skip", "weights"),
    output="conditioning",
    facts=[copy("encoder.text_layout", "conditioning.text_layout"), rule("nodes.text:prompt_facts")],
    fingerprint="nodes.text:prompt_files",
    lints="nodes.text:prompt_advice",
    aliases=(
        "CLIPTextEncode",
        "CLIPTextEncodeSD3",
        "CLIPTextEncodeFlux",
        "CLIPSetLastLayer",
        *("CLIP", "CLIP Text Encode (Prompt)", "clip skip", "embedding", "textual inversion"),
        *("prompt", "positive", "positive prompt", "negative", "negative prompt"),
        "BNK_CLIPTextEncodeAdvanced",
    ),
)
def encode(
    run: Run,
    encoder: TextEncoder,
    text: Annotated[str, PROMPT] = "",
    clip_skip: Annotated[int, Range(1, 24), Help("1 is the layer the model was trained with, 2 the one before.")] = 1,
    weights: Annotated[
        Weights, Help("What (word:1.2) means: as ComfyUI, as A1111's web UI, or brackets as such.")
    ] = "comfy",
) -> Conditioning:
    r"""A prompt as embeddings: float [1, tokens, width], with [1, width] pooled where the family has it.

    `(word)` and `(word:1.2)` are stronger, BREAK begins a new window, `embedding:name` is a textual inversion file's
    vectors, `\(` a bracket, `/* */` a comment: docs/prompts.md. A prompt longer than CLIP's window goes on in further
    windows, whose embeddings follow one another: nothing is cut off in silence. T5 takes 512 tokens and refuses more.
    The empty text is what most models take as unconditional. Errors: `<lora:...>`, `[a:b:0.4]` (each with its node),
    an embedding that is missing or of another width, a weight beyond 100.
    """
    import torch

    prompt_facts(encoder=encoder, text=text, weights=weights)  # the text may come from a node that had not run
    skip, prompt = max(clip_skip, encoder.clip_skip) - 1, parse.parse(text, weights)
    with run.lease(encoder, working_bytes=2**26) as encoders, torch.no_grad():
        embedding, pooled = family_of(encoder).encode(encoders, encoder, prompt, skip, run.check)
    return Conditioning((Entry(embedding, pooled),), encoder.layout, text)


def prompt_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """Refuse what a prompt cannot say here, before any encoder is loaded."""
    text, weights, encoder = inputs["text"], inputs["weights"], inputs["encoder"]
    if not isinstance(text, str) or weights == "plain":
        return {}
    _refuse_loras(text)
    changing = parse.editing(text) if weights == "a1111" else ""
    if changing:
        raise refuse(
            f"{changing[:60]} changes the prompt between steps, which one encoded text cannot",
            socket="text",
            mend="use text.schedule, which takes one prompt for the first steps and another for the rest",
        )
    for piece in parse.parse(text, weights).pieces:
        if not math.isfinite(piece.weight) or abs(piece.weight) > HEAVIEST:
            raise refuse(f"'{piece.text[:40]}' has a weight of {piece.weight:g}", socket="text", mend="use 0.5 to 1.5")
        if piece.kind == "embedding" and isinstance(encoder, TextEncoder):
            from nodes.prompt import embeddings

            embeddings.check(piece.text, places.current(), encoder)
    return {}


def _refuse_loras(text: str) -> None:
    found = parse.loras(text)
    if not found:
        return
    written, name, strength = found[0]
    load = {"type": "lora.load", "into": "lora", "output": "lora", "inputs": {"lora": name}}
    apply = {"type": "lora.apply", "behind": "encoder", "inputs": {"strength": strength}, "with": load}
    apply["passes"] = ["model", "text_encoder"]
    raise fail(
        "node.refused",
        f"{written} in a prompt does nothing here: a LoRA changes the model, not the words",
        socket="text",
        mend=f"insert lora.load with '{name}' and lora.apply at {strength:g}, and take it out of the text",
        edits=[{"set": "text", "value": parse.without_loras(text)}, {"put": apply}],
    )


def prompt_files(**inputs: Any) -> list[tuple[str, str]]:
    """The embeddings that a prompt names, with the ids of their files."""
    text, weights = inputs["text"], inputs["weights"]
    if not isinstance(text, str) or "embedding:" not in text or weights == "plain":
        return []
    from nodes.prompt import embeddings

    names = {piece.text for piece in parse.parse(text, weights).pieces if piece.kind == "embedding"}
    return [(name, places.file_id(embeddings.find(name, places.current()))) for name in sorted(names)]


def _has_choices(text: str) -> bool:
    from nodes.prompt import choices

    return choices.has_choices(text)


def prompt_advice(**inputs: Any) -> Iterator[Problem]:
    """What of a prompt is read as plain words, and probably was not meant so."""
    text, weights = inputs["text"], inputs["weights"]
    if not isinstance(text, str) or weights == "plain":
        return
    if ("{" in text or "__" in text) and _has_choices(text):
        edit = {"put": {"type": "prompt.resolve", "before": "text", "input": "text", "output": "text"}}
        message = "text.encode reads {a|b} and __name__ as words: a choice needs a seed"
        mend = Mend("insert prompt.resolve, which makes the choices", (edit,))
        yield Problem("lint.choices", message, Where(socket="text"), mend, severity="lint")
    if weights == "comfy" and parse.editing(text):
        message = f"{parse.editing(text)[:60]} is read as words: a prompt that changes between steps needs its own node"
        yield Problem("lint.editing", message, Where(socket="text"), Mend("use text.schedule"), severity="lint")


@node(
    "text.combine", title="Combine conditionings", light=True, output="conditioning", aliases=("ConditioningCombine",)
)
def combine(*conditionings: Conditioning) -> Conditioning:
    """Several prompts that act at once: their predictions are averaged, by weight, mask, area and range."""
    layouts = {str(facts_of(one)["text_layout"]) for one in conditionings if "text_layout" in facts_of(one)}
    if not conditionings:
        raise refuse("there is nothing to combine", socket="conditionings", mend="wire at least one prompt")
    if len(layouts) > 1:
        raise fail(
            "facts.mismatch",
            f"these prompts were encoded for different models ({', '.join(sorted(layouts))})",
            socket="conditionings",
            mend="encode all of them with one text encoder",
        )
    entries = tuple(entry for one in conditionings for entry in one.entries)
    return Conditioning(entries, conditionings[0].layout, "\n".join(one.text for one in conditionings))


@node(
    "text.place",
    title="Place conditioning",
    light=True,
    output="conditioning",
    aliases=(
        *("ConditioningSetAreaPercentage", "ConditioningSetAreaStrength", "ConditioningSetMask"),
        *("ConditioningSetTimestepRange", "regional prompt"),
    ),
)
def place(
    conditioning: Conditioning,
    weight: Annotated[float, Range(0, 10, 0.05), Help("Its share where several prompts act.")] = 1.0,
    x: Fraction = 0.0,
    y: Fraction = 0.0,
    width: Fraction = 1.0,
    height: Fraction = 1.0,
    start: Annotated[Fraction, Help("From which part of the steps on it acts.")] = 0.0,
    end: Annotated[Fraction, Help("Until which part of the steps it acts.")] = 1.0,
    mask: Mask | None = None,
) -> Conditioning:
    """Where, when and how strongly a prompt acts: area in fractions of the picture, range in fractions of the steps."""
    if width <= 0 or height <= 0:
        raise refuse("an area of no size never acts", socket="width" if width <= 0 else "height", mend="make it larger")
    if start >= end:
        raise refuse(f"it would never act: start {start:g} is not before end {end:g}", socket="end")
    whole = (x, y, width, height) == (0, 0, 1, 1)
    area = None if whole else (x, y, width, height)
    entries = tuple(
        replace(entry, weight=weight, area=area, pixels=False, start=start, end=end, mask=mask or entry.mask)
        for entry in conditioning.entries
    )
    return replace(conditioning, entries=entries)


def zero_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """Beside the layout: that these are zeros, which not every family was trained with."""
    return {"conditioning": {"zeroed": True}}


@node(
    "text.zero",
    title="Zero conditioning",
    output="conditioning",
    facts=[copy("conditioning.text_layout", "conditioning.text_layout"), rule("nodes.text:zero_facts")],
    aliases=("ConditioningZeroOut",),
)
def zero(conditioning: Conditioning) -> Conditioning:
    """Zeros in the shape of a conditioning: what a few families (SDXL, SD 3) were trained with as unconditional."""
    import torch

    entries = tuple(
        replace(
            entry,
            embedding=torch.zeros_like(entry.embedding),
            pooled=None if entry.pooled is None else torch.zeros_like(entry.pooled),
        )
        for entry in conditioning.entries
    )
    return replace(conditioning, entries=entries, text="", zeroed=True)


@node(
    "text.size",
    title="SDXL size conditioning",
    advanced=("crop_x", "crop_y", "score"),
    light=True,
    output="conditioning",
    facts=[copy("conditioning.text_layout", "conditioning.text_layout")],
    bypass={"conditioning": "conditioning"},
    aliases=("CLIPTextEncodeSDXL", "CLIPTextEncodeSDXLRefiner"),
)
def size(
    conditioning: Conditioning,
    width: Side | None = None,
    height: Side | None = None,
    crop_x: Annotated[int, Range(0, 16_384, 8)] = 0,
    crop_y: Annotated[int, Range(0, 16_384, 8)] = 0,
    target_width: Side | None = None,
    target_height: Side | None = None,
    score: Annotated[float, Range(0, 10, 0.1)] = 6.0,
) -> Conditioning:
    """What SDXL is told of the picture's size, in pixels; without this node: its own size, not cropped.

    Podell et al. 2023 (arXiv 2307.01952), section 2.2: small numbers look like enlarged thumbnails, a crop like a
    picture cut off at its edges. Other families are told nothing of it.

    Args:
        conditioning: From text.encode.
        width: Of the picture as if it had been found so; nothing means its own.
        height: As width; give both or neither.
        crop_x: Where it was cut, from the left.
        crop_y: Where it was cut, from the top.
        target_width: After cutting; nothing means its own.
        target_height: As target_width; give both or neither.
        score: How beautiful it is said to be; only the refiner reads it. Its makers say 6, and 2.5 for the negative.
    """
    framing = Framing(
        _both("width", width, height), (crop_x, crop_y), _both("target_width", target_width, target_height), score
    )
    entries = tuple(replace(entry, framing=framing) for entry in conditioning.entries)
    return replace(conditioning, entries=entries)


def _both(name: str, width: int | None, height: int | None) -> tuple[int, int] | None:
    """A size, or None when neither side is given."""
    if width is None and height is None:
        return None
    if width is None or height is None:
        other = name if width is None else name.replace("width", "height")
        raise refuse("a size has a width and a height, and one of them is empty", socket=other, mend="give both")
    return width, height
