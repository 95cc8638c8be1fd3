"""Model: changes to a denoiser as a recipe – what it is said to predict, and patches that ship with Weft."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy
from nodes.patches import Differential, FreeU
from nodes.types import Denoiser, plain

ALIKE = (
    copy("model.family", "model.family"),
    copy("model.latent_space", "model.latent_space"),
    copy("model.text_layout", "model.text_layout"),
)
UNETS = ("sd1", "sd2", "sdxl")


@node(
    "model.sampling",
    title="Model sampling",
    advanced=("base_shift", "max_shift"),
    light=True,
    output="model",
    facts=ALIKE,
    aliases=(
        *("ModelSamplingDiscrete", "ModelSamplingSD3", "ModelSamplingFlux", "ModelSamplingAuraFlow"),
        *("ModelSamplingStableCascade", "v-prediction", "zsnr", "shift"),
    ),
)
def sampling(
    model: Denoiser,
    prediction: Annotated[
        Literal["as loaded", "epsilon", "v_prediction", "sample"], Help("What the weights were trained to predict.")
    ] = "as loaded",
    zero_snr: Annotated[bool, Help("The weights were trained to zero terminal SNR (Lin et al. 2023).")] = False,
    shift: Annotated[
        float | None,
        Range(0.01, 100, 0.01, soft=(1, 12)),
        Help("Of a flow model's times towards noise; nothing: its own."),
    ] = None,
    base_shift: Annotated[
        float | None, Range(0, 10, 0.01), Help("Of a small picture, for models that shift by its size (Flux: 0.5).")
    ] = None,
    max_shift: Annotated[float | None, Range(0, 10, 0.01), Help("Of a large one (Flux: 1.15).")] = None,
    reason: Annotated[
        str, Help("How you know: where the weights' maker says so. Needed to change the prediction.")
    ] = "",
) -> Denoiser:
    """Say what the file does not: what the weights predict, and how a flow model's times are shifted.

    A checkpoint in a single file does not always tell that it predicts v, or was trained to zero terminal SNR (its
    pictures then come out grey or burnt, without any error). A wrong override gives broken pictures just as silently,
    so it wants a reason. Shift: Esser et al. 2024 (arXiv 2403.03206, eq. 23). Errors: a flow model made a diffusion
    model or the other way round, which no setting can do.
    """
    flow = model.prediction == "flow"
    changed = prediction != "as loaded" or zero_snr
    if changed and flow:
        raise refuse("the model predicts a flow, which has neither betas nor another prediction", socket="prediction")
    if not flow and (shift, base_shift, max_shift) != (None, None, None):
        raise refuse(f"shift moves the times of a flow model, this one predicts {model.prediction}", socket="shift")
    if changed and not reason.strip():
        raise refuse(
            "another prediction than the file's gives broken pictures if it is wrong: say how you know",
            socket="reason",
            mend="write a reason, such as 'model card: v-prediction, zero terminal SNR'",
        )
    training = dict(model.training)
    told = model.prediction if prediction == "as loaded" else prediction
    if changed:
        training["prediction_type"] = told
    if zero_snr:
        if told == "epsilon":
            raise refuse(
                "a model that predicts epsilon says nothing about the picture at zero terminal SNR",
                socket="zero_snr",
                mend="set prediction to v_prediction",
            )
        training |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if shift is not None:
        training |= {"shift": shift, "use_dynamic_shifting": False}
    shifts = {"base_shift": base_shift, "max_shift": max_shift}
    by_size = {name: value for name, value in shifts.items() if value is not None}
    if by_size:
        if shift is not None:
            raise refuse("one shift for all sizes, and shifts by size, cannot both be", socket="shift")
        training |= {**by_size, "use_dynamic_shifting": True}
    return replace(model, prediction=told, training=plain(training))


@node(
    "model.freeu",
    title="FreeU",
    light=True,
    facts=ALIKE,
    output="model",
    bypass={"model": "model"},
    aliases=("FreeU", "FreeU_V2"),
)
def freeu(
    model: Denoiser,
    b1: Annotated[float, Range(0, 4, 0.01), Help("Backbone of the first up block; SDXL 1.3, SD 2 1.4.")] = 1.5,
    b2: Annotated[float, Range(0, 4, 0.01), Help("Backbone of the second; SDXL 1.4, SD 2 1.6.")] = 1.6,
    s1: Annotated[float, Range(0, 4, 0.01), Help("Skips of the first.")] = 0.9,
    s2: Annotated[float, Range(0, 4, 0.01), Help("Skips of the second.")] = 0.2,
    start: Annotated[float, Range(0, 1, 0.01), Help("From which part of the steps on it acts.")] = 0.0,
    end: Annotated[float, Range(0, 1, 0.01), Help("Until which part of the steps it acts.")] = 1.0,
) -> Denoiser:
    """FreeU: cleaner shapes for nothing, by weighing a UNet's backbone against its skips.

    Si et al. 2023 (arXiv 2309.11497); the figures are its authors' for SD 1.x. It costs no forward. UNets only: a DiT
    has no skips, which is an error here.
    """
    if model.family.partition("-")[0] not in UNETS:
        raise refuse(f"FreeU weighs a UNet's skips, and {model.family} has none", socket="model", mend="take it out")
    if start >= end:
        raise refuse(f"it would never act: start {start:g} is not before end {end:g}", socket="end")
    return model.with_patch(FreeU(b1, b2, s1, s2, start, end))


@node(
    "model.differential",
    title="Differential diffusion",
    light=True,
    facts=ALIKE,
    output="model",
    bypass={"model": "model"},
    aliases=("DifferentialDiffusion",),
)
def differential(model: Denoiser) -> Denoiser:
    """Let the latent's mask say how much each place changes: 1 from the first step on, 0.3 in the last third alone.

    Differential diffusion (Levin & Fried 2023, arXiv 2306.00950): a soft mask from vae.encode or latent.set_mask
    (cells: average) becomes a map of strengths, so that a change fades into what stays. Works with every family.
    """
    return model.with_patch(Differential())
