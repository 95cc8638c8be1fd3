"""Numerics: how a denoiser computes – quicker or smaller, at a price in quality that each node states.

Each node hands on the model with one more choice in its recipe. Choices are part of every id below them, act while the
model is leased and are gone after it. What they cost on the starter is measured in docs/numerics.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from engine.errors import refuse
from engine.node import Help, Range, node
from nodes.families import choices
from nodes.families.gguf.header import packed_as
from nodes.families.quantized import Quantized, quantized
from nodes.types import Denoiser, plain

Numbers = tuple[tuple[str, Any], ...]
Interval = Annotated[int, Range(2, 20, 1, soft=(2, 5))]


@node(
    "numerics.precision",
    title="Model precision",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("ModelComputeDtype", "dtype", "fp8", "weight_dtype"),
)
def precision(
    model: Denoiser,
    dtype: Annotated[
        Literal["run", "float32", "bfloat16", "float16"], Help("What it computes in; 'run' follows the run's numerics.")
    ] = "run",
    storage: Annotated[
        Literal["same", "float8_e4m3fn", "float8_e5m2"], Help("What its weights are kept in between the layers.")
    ] = "same",
) -> Denoiser:
    """What a model computes in, and what its weights are kept in.

    bfloat16 and float16 halve memory and are quicker on GPUs; they differ by a tenth of a level of 255 on average, more
    at edges. Weights kept in float8 halve it again: each layer is widened as it is needed (diffusers' layerwise
    casting), which rounds every weight to 3 (e4m3) or 2 (e5m2) bits behind the point and shows as slightly other
    details. Norms and embeddings are left as they are.
    """
    rest = tuple(item for item in model.numerics if item[0] != "dtype")
    made = replace(model, numerics=rest if dtype == "run" else plain({**dict(rest), "dtype": dtype}))
    if storage == "same":
        return made
    if quantized(made.patches):
        raise refuse("this model's weights are quantized already", socket="storage", mend="take one of the two out")
    return _with(_unpacked(made, "storage"), choices.Stored(storage))


@node(
    "numerics.quantize",
    title="Quantize weights",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("bitsandbytes", "nf4", "CheckpointLoaderNF4", "torchao", "quanto", "int8", "4 bit", "8 bit"),
)
def quantize(
    model: Denoiser,
    method: Literal["bnb-int8", "bnb-nf4", "bnb-fp4", "torchao-int8", "torchao-float8", "quanto-int8"] = "torchao-int8",
) -> Denoiser:
    """A model's weights in 8 or 4 bits, made so as it is loaded: a half or a quarter of what float16 takes.

    The linear layers in the blocks are rounded once and widened again as they compute; the rest stays as it is. In 8
    bits the picture is nearly the same, in 4 bits details are others; nf4 is closer than fp4 (Dettmers et al. 2023,
    2305.14314). Needs the package it is named after: bitsandbytes (bnb), torchao, or optimum-quanto; its version is
    part of the key. Such a model stands whole on its device, and is no use for what changes the weights themselves:
    LyCORIS and DoRA are refused. Errors: `package.missing` with the command that installs it.
    """
    model = _unpacked(model, "method")
    _fits_quantized(model)
    if any(isinstance(patch, choices.Stored) for patch in model.patches):
        raise refuse("this model's weights are in float8 already", socket="method", mend="take one of the two out")
    return _with(model, Quantized.of(method))


@node(
    "numerics.attention",
    title="Attention kernel",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("PathchSageAttentionKJ", "xformers", "flash attention", "sage attention", "sdpa"),
)
def attention(
    model: Denoiser,
    kernel: Literal["flash", "efficient", "cudnn", "math", "flash-attn", "sage", "xformers"] = "flash",
) -> Denoiser:
    """Which kernel computes attention; without this node torch chooses.

    flash, efficient, cudnn and math are torch's own and differ by rounding. flash-attn, sage and xformers come from
    packages of these names; sage computes attention in 8 bits, the quickest and the least exact (Zhang et al. 2024).
    Dao et al. 2022 (2205.14135).
    """
    return _with(model, choices.Attention(kernel))


@node(
    "numerics.channels_last",
    title="Channels last",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("channels last", "memory format"),
)
def channels_last(model: Denoiser) -> Denoiser:
    """Convolutions with channels innermost: quicker on tensor cores in half precision, not on CPUs. Only rounding."""
    if not choices.is_unet(model.family):
        raise refuse("this model has no convolutions to speak of", socket="model", mend="take the node out")
    return _with(model, choices.ChannelsLast())


@node(
    "numerics.compile",
    title="Compile model",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("TorchCompileModel", "torch.compile", "inductor"),
)
def compile_blocks(
    model: Denoiser, mode: Literal["default", "reduce-overhead", "max-autotune-no-cudagraphs"] = "default"
) -> Denoiser:
    """The repeated blocks compiled by torch: 1.2 to 2 times as quick on GPUs, after a pause at the first step.

    Blocks of one kind are compiled once (regional compilation), so the pause is seconds and not minutes, and what was
    compiled is kept under `WEFT_HOME/state/compiled` for the next process. A new size compiles anew; `weft warm` does
    it before the run. Only rounding. Where the compiler fails, the step runs without it and says so.
    """
    return _with(model, choices.Compiled(mode))


@node(
    "numerics.deep_cache",
    title="DeepCache",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("DeepCache", "HyperTile", "TeaCache"),
)
def deep_cache(
    model: Denoiser,
    interval: Annotated[Interval, Help("The inner levels are computed in every so many-th step.")] = 2,
    levels: Annotated[int, Range(1, 4), Help("How many of the outer levels are computed in every step.")] = 1,
) -> Denoiser:
    """The inner levels of a UNet every few steps, its outer ones always: up to twice as quick (Ma et al. 2023).

    From step to step the inner features hardly change (arXiv 2312.00858). Fine detail suffers first; with an interval
    over 3, shapes as well. For Stable Diffusion 1.x, 2.x and XL. A run with it is not resumed in its middle.
    """
    return _with(_only(model, "numerics.first_block_cache", unet=True), choices.Deep(interval, levels))


@node(
    "numerics.first_block_cache",
    title="First-block cache",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("ApplyFBCacheOnModel", "FBCache", "WaveSpeed", "TeaCache", "FirstBlockCache"),
)
def first_block_cache(
    model: Denoiser,
    threshold: Annotated[
        float, Range(0, 1, 0.01), Help("How much the first block's change may differ; 0: never.")
    ] = 0.08,
) -> Denoiser:
    """A step in which the first block changes hardly anything takes the rest from the step before.

    diffusers' FirstBlockCache, for Flux; 0.05 to 0.12 is usual. A run with it is not resumed in its middle.
    """
    if model.family.startswith("sd3"):
        message = "the last block of Stable Diffusion 3 gives no text back, which this cache cannot keep"
        raise refuse(message, socket="model", mend="use numerics.taylor_seer or numerics.pyramid_attention")
    model = _only(model, "numerics.deep_cache", unet=False)
    return _with(model, choices.Hooked("first_block", plain({"threshold": threshold})))


@node(
    "numerics.taylor_seer",
    title="TaylorSeer cache",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("TaylorSeer", "TaylorSeerCache"),
)
def taylor_seer(
    model: Denoiser,
    interval: Annotated[Interval, Help("Blocks are computed in every so many-th step.")] = 3,
    order: Annotated[int, Range(0, 2), Help("0 repeats what was, 1 goes on in a line, 2 in a curve.")] = 1,
    warm_up: Annotated[int, Range(1, 20), Help("First steps in which everything is computed.")] = 3,
) -> Denoiser:
    """Between computed steps the blocks' outputs are foretold by a Taylor series (Liu et al. 2025, 2503.06923).

    For models of transformer blocks (Stable Diffusion 3, Flux). A run with it is not resumed in its middle.
    """
    numbers = plain({"cache_interval": interval, "max_order": order, "disable_cache_before_step": warm_up})
    return _with(_only(model, "numerics.deep_cache", unet=False), choices.Hooked("taylor", numbers))


@node(
    "numerics.pyramid_attention",
    title="Pyramid attention (PAB)",
    light=True,
    output="model",
    bypass={"model": "model"},
    aliases=("PAB", "PyramidAttentionBroadcast"),
)
def pyramid_attention(
    model: Denoiser,
    interval: Annotated[Interval, Help("Attention is computed in every so many-th step.")] = 2,
    first: Annotated[int, Range(0, 1000), Help("Timesteps below this are reused; 1000 is noise.")] = 800,
    last: Annotated[int, Range(0, 1000), Help("Timesteps above this are reused.")] = 100,
) -> Denoiser:
    """Attention's output is reused for a few steps in the middle of the run, where it changes least.

    Pyramid Attention Broadcast (Zhao et al. 2024, 2408.12588), through diffusers' hook; for every family. A run with it
    is not resumed in its middle.
    """
    if first <= last:
        raise refuse(f"no timestep lies between {last} and {first}", socket="first", mend=f"use more than {last}")
    within = (last, first)
    numbers: dict[str, Any] = {"spatial_attention_block_skip_range": interval}
    numbers |= {"cross_attention_block_skip_range": interval, "spatial_attention_timestep_skip_range": within}
    return _with(model, choices.Hooked("pyramid", plain({**numbers, "cross_attention_timestep_skip_range": within})))


def _with(model: Denoiser, patch: Any) -> Denoiser:
    """The model with this choice in place of one of the same kind; two caches contradict each other."""
    kind = type(patch)
    others = tuple(one for one in model.patches if type(one) is not kind)
    if getattr(patch, "stateful", False) and choices.stateful(others):
        raise refuse(
            "two caches on one model reuse each other's leftovers", socket="model", mend="take one of them out"
        )
    return replace(model, patches=(*others, patch))


def _fits_quantized(model: Denoiser) -> None:
    from nodes.families.lora_file import changes_weights

    for adapter in model.adapters:
        if changes_weights(adapter.lora):
            name = Path(adapter.lora.weights.path).name
            raise refuse(
                f"{name} needs the model's own numbers (LyCORIS or DoRA), which quantizing takes away",
                socket="model",
                mend="take one of the two out",
            )


def _unpacked(model: Denoiser, socket: str) -> Denoiser:
    """The model, whose weights can still be stored in another way."""
    kind = packed_as(model.base.path)
    if kind:
        message = f"this model's weights are packed already ({kind}, in a GGUF file)"
        raise refuse(message, socket=socket, mend="take the choice out, or load the model from safetensors")
    return model


def _only(model: Denoiser, other: str, *, unet: bool) -> Denoiser:
    if choices.is_unet(model.family) != unet:
        has, needs = ("transformer blocks", "a UNet") if unet else ("a UNet", "a stack of transformer blocks")
        raise refuse(f"this model has {has}, the node is for {needs}", socket="model", mend=f"use {other}")
    return model
