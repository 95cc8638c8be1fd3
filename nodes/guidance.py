"""Guidance: how the prompt's prediction and the unconditional one become one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Range, node
from nodes.guiders import DISTILLED, FAMILIES, KINDS
from nodes.types import Guidance, Perturbation

Fraction = Annotated[float, Range(0, 1, 0.01)]
Scale = Annotated[float, Range(0, 100, 0.1, soft=(1, 12))]
Start = Annotated[float, Range(0, 1, 0.01), Help("From which part of the steps on it acts.")]
Stop = Annotated[float, Range(0, 1, 0.01), Help("Until which part of the steps it acts.")]
Mode = Annotated[
    Literal["batched", "sequential"],
    Help("Both predictions in one forward, or one after the other in half the memory; they differ by rounding."),
]
Blocks = Annotated[str, Help("Transformer blocks, counted from 0: 7, 8, 9; nothing: those in the middle.")]


@node(
    "guidance.cfg",
    title="CFG guidance",
    advanced=("start", "stop", "mode"),
    light=True,
    output="guidance",
    aliases=("CFGGuider", "BasicGuider", "RescaleCFG", "CFG", "CFG scale", "guidance"),
)
def classifier_free_guidance(
    scale: Scale = 7.0,
    rescale: Annotated[Fraction, Help("How much of the contrast that guidance adds is taken back.")] = 0.0,
    start: Annotated[Fraction, Help("From which part of the steps on it acts.")] = 0.0,
    stop: Annotated[
        Fraction, Help("Until which part of the steps it acts; after it one forward a step is enough.")
    ] = 1.0,
    mode: Mode = "batched",
) -> Guidance:
    """Move from the unconditional prediction past the conditional one: u + scale * (c - u).

    Ho & Salimans 2022 (arXiv 2207.12598), eq. 6 with scale = 1 + w; rescaling as Lin et al. 2023 (2305.08891), eq. 16;
    acting in an interval only as Kynkäänniemi et al. 2024 (2404.07724). A scale of 1 needs one forward per step.
    """
    _range(start, stop)
    return Guidance(scale, rescale, start, stop, mode)


def _range(start: float, stop: float) -> None:
    if start >= stop:
        raise refuse(f"guidance would never act: start {start:g} is not before stop {stop:g}", socket="stop")


@node("guidance.embedded", title="Embedded guidance", light=True, output="guidance", aliases=("FluxGuidance",))
def embedded(scale: Annotated[float, Range(1, 100, 0.1, soft=(1, 15))] = 8.5) -> Guidance:
    """The guidance scale as an input of the model, for models that guidance was distilled into (LCM's own UNets, Flux).

    One forward a step, no negative prompt (Meng et al. 2022, arXiv 2210.03142; Luo et al. 2023, 2310.04378).
    """
    return Guidance(1.0, kind="embedded", options=(("scale", scale),))


@node(
    "guidance.cfg_zero",
    title="CFG-Zero* guidance",
    advanced=("rescale", "start", "stop", "mode"),
    light=True,
    output="guidance",
    aliases=("CFGZeroStar", "CFG-Zero*"),
)
def cfg_zero(
    scale: Scale = 7.0,
    zero_steps: Annotated[int, Range(0, 100, 1), Help("The first steps predict nothing; 4 % of all is usual.")] = 1,
    rescale: Fraction = 0.0,
    start: Start = 0.0,
    stop: Stop = 1.0,
    mode: Mode = "batched",
) -> Guidance:
    """CFG whose unconditional prediction is scaled to fit the conditional one best, and zero in the first steps.

    CFG-Zero* (Fan et al. 2025, arXiv 2503.18886, eq. 13): s = <c, u> / |u|^2, then s u + scale * (c - s u). Made for
    flow models that are not fully trained; it works with all.
    """
    _range(start, stop)
    return Guidance(scale, rescale, start, stop, mode, "cfg_zero", (("zero_steps", zero_steps),))


@node(
    "guidance.apg",
    title="APG guidance",
    advanced=("parallel", "rescale", "start", "stop", "mode"),
    light=True,
    output="guidance",
    aliases=("APG", "AdaptiveProjectedGuidance"),
)
def apg(
    scale: Scale = 7.5,
    momentum: Annotated[float, Range(-1, 1, 0.05), Help("Of the difference over the steps; below 0 damps it.")] = -0.5,
    threshold: Annotated[float, Range(0, 100, 0.5), Help("The longest difference, by its norm; 0: any.")] = 15.0,
    parallel: Annotated[float, Range(0, 2, 0.05), Help("Of what only makes the picture stronger; 1 is CFG.")] = 0.0,
    rescale: Fraction = 0.0,
    start: Start = 0.0,
    stop: Stop = 1.0,
    mode: Mode = "batched",
) -> Guidance:
    """CFG without what only saturates: the difference's part along the prediction is taken out (APG).

    Adaptive projected guidance (Sadat et al. 2024, arXiv 2410.02416, eq. 6 to 8): large scales without burnt colours.
    """
    _range(start, stop)
    options = (("momentum", momentum), ("parallel", parallel), ("threshold", threshold))
    return Guidance(scale, rescale, start, stop, mode, "apg", options)


@node(
    "guidance.tcfg",
    title="TCFG guidance",
    advanced=("rescale", "start", "stop", "mode"),
    light=True,
    output="guidance",
    aliases=("TCFG", "TangentialCFG"),
)
def tcfg(
    scale: Scale = 7.0, rescale: Fraction = 0.0, start: Start = 0.0, stop: Stop = 1.0, mode: Mode = "batched"
) -> Guidance:
    """CFG whose unconditional prediction loses what it does not share with the conditional one (TCFG).

    Tangential damping (Kwon et al. 2025, arXiv 2503.18137): by the singular vectors of both predictions.
    """
    _range(start, stop)
    return Guidance(scale, rescale, start, stop, mode, "tcfg")


# --- away from a worse model -----------------------------------------------------------------------------------------


@node(
    "guidance.pag",
    title="Perturbed attention (PAG)",
    light=True,
    output="guidance",
    bypass={"guidance": "guidance"},
    aliases=("PerturbedAttentionGuidance",),
)
def pag(
    guidance: Guidance,
    scale: Annotated[float, Range(0, 100, 0.1, soft=(0, 6))] = 3.0,
    blocks: Blocks = "",
    start: Start = 0.0,
    stop: Stop = 1.0,
) -> Guidance:
    """Move away from what the model predicts when its self-attention sees only itself: better structure (PAG).

    Ahn et al. 2024 (arXiv 2403.17377, eq. 9), on top of any guidance, or of guidance.cfg with a scale of 1 without a
    negative prompt. One more forward in each step in which it acts.
    """
    return _with(guidance, Perturbation("attention", scale, _blocks(blocks), start, stop))


@node(
    "guidance.seg",
    title="Smoothed energy (SEG)",
    light=True,
    output="guidance",
    bypass={"guidance": "guidance"},
    aliases=("SEGAttention", "SmoothedEnergyGuidance", "SelfAttentionGuidance"),
)
def seg(
    guidance: Guidance,
    scale: Annotated[float, Range(0, 100, 0.1, soft=(0, 6))] = 3.0,
    blur: Annotated[float, Range(0, 1000, 0.5), Help("Of the queries, in places; 0: without bounds.")] = 0.0,
    blocks: Blocks = "",
    start: Start = 0.0,
    stop: Stop = 1.0,
) -> Guidance:
    """Move away from what the model predicts when its attention is blurred: softer than PAG (SEG).

    Smoothed energy guidance (Hong 2024, arXiv 2408.00760). One more forward in each step in which it acts.
    """
    return _with(guidance, Perturbation("energy", scale, _blocks(blocks), start, stop, blur))


@node(
    "guidance.skip_layers",
    title="Skip-layer guidance",
    light=True,
    output="guidance",
    bypass={"guidance": "guidance"},
    aliases=("SkipLayerGuidanceDiT", "SkipLayerGuidanceSD3", "SLG"),
)
def skip_layers(
    guidance: Guidance,
    scale: Annotated[float, Range(0, 100, 0.1, soft=(0, 6))] = 2.8,
    blocks: Blocks = "",
    start: Start = 0.0,
    stop: Stop = 0.2,
) -> Guidance:
    """Move away from what the model predicts with blocks left out: better anatomy (SLG).

    As published with Stable Diffusion 3.5, for whose medium model blocks 7, 8, 9 are advised, in the first fifth of the
    steps. One more forward in each step in which it acts.
    """
    return _with(guidance, Perturbation("layers", scale, _blocks(blocks), start, stop))


def _with(guidance: Guidance, perturbation: Perturbation) -> Guidance:
    _range(perturbation.start, perturbation.stop)
    return replace(guidance, perturbations=(*guidance.perturbations, perturbation))


def _blocks(text: str) -> tuple[int, ...]:
    try:
        found = sorted({int(part) for part in text.replace(";", ",").split(",") if part.strip()})
    except ValueError:
        found = [-1]
    if any(index < 0 for index in found):
        raise refuse(f"'{text}' is no list of blocks", socket="blocks", mend="write such as 7, 8, 9, counted from 0")
    return tuple(found)


def document() -> str:
    """`docs/guidance.md`: which guidance works with which family, made from the tables here."""
    names = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL", "sd3": "SD 3, 3.5", "flux": "Flux.1"}
    about = {
        "cfg": ("classifier-free guidance, with rescaling and an interval", "2, or 1 doubled"),
        "cfg_zero": ("CFG-Zero*: the unconditional prediction scaled to fit, zero at first", "2, or 1 doubled"),
        "apg": ("adaptive projection: large scales without burnt colours", "2, or 1 doubled"),
        "tcfg": ("tangential damping of the unconditional prediction", "2, or 1 doubled"),
        "attention": ("away from attention that sees only itself (PAG)", "1 more"),
        "energy": ("away from blurred attention (SEG)", "1 more"),
        "layers": ("away from the model with blocks left out (SLG)", "1 more"),
    }
    lines = [
        "# Guidance",
        "",
        "Made from `nodes/guidance.py`; a test runs every cell. What is not possible is an error on the socket, with",
        "the reason. The last three go on top of any other, by wire, and act only in their part of the steps.",
        "",
        f"| node | what it does | forwards a step | {' | '.join(names.values())} |",
        f"|---|---|---|{'---|' * len(names)}",
    ]
    for kind, id in KINDS.items():
        cells = ["yes" if kind in FAMILIES[family] else "no: distilled" for family in names]
        lines.append(f"| `{id}` | {about[kind][0]} | {about[kind][1]} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Flux takes none of the first four: {DISTILLED}; `guidance.embedded` tells dev its scale.",
        "",
        "Not here: AutoGuidance by dropout (diffusers draws it from the global generator, so no run could be",
        "repeated), frequency-decoupled guidance (needs kornia) and magnitude-aware guidance (fails on pictures'",
        "latents in diffusers 0.42).",
    ]
    return "\n".join(lines) + "\n"
