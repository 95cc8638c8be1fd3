"""Special: classes of ComfyUI that are more, or less, than one node of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nodes.comfyui.making import At, Carried, wired, with_wire
from nodes.comfyui.plain import PLAIN, method, path

# Samplers that have another name, or none, and what stands in their place.
SAMPLERS = {
    "euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde",
    "dpmpp_sde", "ddim", "ddpm", "lcm", "uni_pc", "deis",
}  # fmt: skip
SAME = {
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "uni_pc_bh2": "uni_pc",
}
NEAR = {"dpmpp_2s_ancestral": "dpmpp_sde", "heunpp2": "heun", "ipndm": "deis", "ipndm_v": "deis"}
SCHEDULERS = {"normal", "karras", "exponential", "sgm_uniform", "simple", "beta", "ddim_uniform"}
UNION = {
    "auto": "auto", "openpose": "pose", "depth": "depth", "hed/pidi/scribble/ted": "soft_edge", "normal": "normal",
    "canny/lineart/anime_lineart/mlsd": "canny", "segment": "segment", "tile": "tile", "repaint": "inpaint",
}  # fmt: skip


def _sampler(at: At, name: Any) -> Any:
    if not isinstance(name, str) or name in SAMPLERS:
        return name
    if name in SAME:
        return SAME[name]
    near = NEAR.get(name, "euler_ancestral" if "ancestral" in name else "euler")
    at.tell(f"there is no sampler '{name}'; '{near}' stands in its place")
    return near


def _scheduler(at: At, name: Any) -> Any:
    if not isinstance(name, str) or name in SCHEDULERS:
        return name
    at.tell(f"there is no spacing '{name}'; 'simple' stands in its place")
    return "simple"


def _seed(at: At, name: str) -> Any:
    value = at.either(name)
    if at.box.policy == "randomize" and not isinstance(value, dict):
        return "random"
    if isinstance(value, int) and not isinstance(value, bool):
        return value % 2**64 if abs(value) < 2**53 else str(value % 2**64)
    return value


def _denoise(at: At, inputs: Mapping[str, Any], model: Carried | None, latent: Carried | None) -> None:
    """The sampler itself: what rides on its inputs becomes inputs of its own."""
    positive, negative = inputs.get("positive"), inputs.get("negative")
    riders = [one for one in (positive, negative) if isinstance(one, Carried)]
    control = next((one.control for one in riders if one.control), "")
    guidance = next((one.guidance for one in riders if one.guidance), "")
    given = {key: wired(value) if isinstance(value, Carried) else value for key, value in inputs.items()}
    patches = model.parts if model is not None else {}
    if patches and guidance:
        at.tell("the guidance of the model gives way to that of the conditioning")
    elif patches:
        guidance = _guidance(at, given.get("cfg"), patches)
    name = at.put(
        "denoise.sample",
        {
            "model": wired(model),
            "latent": wired(latent),
            "control": {"from": control} if control else None,
            "guidance": {"from": guidance} if guidance else None,
            **given,
        },
    )
    making = at.making
    making.sampler = making.sampler or name
    several = any(making.nodes[canvas]["inputs"].get("batch") for canvas in (latent.canvas if latent else ()))
    if several and given.get("seed") is not None and given.get("add_noise") is not False:
        # There a batch's noise is one stream; here picture i would have the noise of seed + i.
        noise = at.put("noise.make", {"seed": given["seed"], "single_stream": True})
        making.nodes[name]["inputs"]["noise"] = {"from": f"{noise}.noise"}
    for canvas in latent.canvas if latent is not None else ():
        if model is not None:
            making.nodes[canvas]["inputs"]["model"] = wired(model)
    for side, one in (("positive", positive), ("negative", negative)):
        node = one.wire.partition(".")[0] if isinstance(one, Carried) else ""
        if node in making.nodes and making.nodes[node]["type"] == "text.encode":
            making.called.setdefault(node, "prompt" if side == "positive" else "negative")
    at.out(0, Carried(f"{name}.latent"))
    at.out(1, Carried(f"{name}.denoised"))


def _guidance(at: At, scale: Any, patches: Mapping[str, Any]) -> str:
    """What patches a model there is a way of guiding here: rescaled, or with perturbed attention."""
    name = at.put("guidance.cfg", {"scale": scale, "rescale": patches.get("rescale")})
    if "pag" in patches:
        name = at.put("guidance.pag", {"guidance": {"from": f"{name}.guidance"}, "scale": patches["pag"]})
    return f"{name}.guidance"


def _patch(part: str, given: str) -> Callable[[At], None]:
    """A patch of the model that guides: it rides on the model."""

    def rule(at: At) -> None:
        model = at.got("model")
        at.out(0, replace(model, parts={**model.parts, part: at.either(given)}) if model is not None else None)

    return rule


def ksampler(at: At) -> None:
    """The usual sampler."""
    inputs = {
        "positive": at.got("positive"),
        "negative": at.got("negative"),
        "seed": _seed(at, "seed"),
        "steps": at.either("steps"),
        "cfg": at.either("cfg"),
        "sampler": _sampler(at, at.either("sampler_name")),
        "scheduler": _scheduler(at, at.either("scheduler")),
        "denoise": at.either("denoise"),
    }
    _denoise(at, inputs, at.got("model"), at.got("latent_image"))


def ksampler_advanced(at: At) -> None:
    """The sampler that begins and ends at a step."""
    steps, end = at.given("steps"), at.given("end_at_step")
    open_end = isinstance(end, int) and (end >= 10_000 or (isinstance(steps, int) and end >= steps))
    inputs = {
        "positive": at.got("positive"),
        "negative": at.got("negative"),
        "seed": _seed(at, "noise_seed"),
        "steps": at.either("steps"),
        "cfg": at.either("cfg"),
        "sampler": _sampler(at, at.either("sampler_name")),
        "scheduler": _scheduler(at, at.either("scheduler")),
        "start_step": at.either("start_at_step") or None,
        "stop_step": None if open_end else at.either("end_at_step"),
        "add_noise": False if at.given("add_noise") == "disable" else None,
        "leftover_noise": None if at.given("return_with_leftover_noise") == "enable" else (None if open_end else False),
    }
    _denoise(at, inputs, at.got("model"), at.got("latent_image"))


def sampler_custom(at: At) -> None:
    """The sampler whose choices are nodes of their own."""
    parts: dict[str, Any] = {}
    for name in ("noise", "guider", "sampler", "sigmas"):
        carried = at.got(name)
        if carried is not None and not carried.parts and name != "noise":
            at.tell(f"what comes into '{name}' has no counterpart; the sampler's own choice stands in its place")
        parts |= dict(carried.parts) if carried is not None else {}
    model = parts.pop("model", None) or at.got("model")
    if at.box.kind == "SamplerCustom":
        parts |= {
            "positive": at.got("positive"),
            "negative": at.got("negative"),
            "seed": _seed(at, "noise_seed"),
            "cfg": at.either("cfg"),
            "add_noise": False if at.given("add_noise") is False else None,
        }
    _denoise(at, parts, model, at.got("latent_image"))


def _parts(make: Callable[[At], dict[str, Any]]) -> Callable[[At], None]:
    """A class that is only a choice of the sampler it comes to."""

    def rule(at: At) -> None:
        at.out(0, Carried(parts=make(at)))

    return rule


def _guider(at: At) -> dict[str, Any]:
    return {
        "model": at.got("model"),
        "positive": at.got("positive") or at.got("conditioning"),
        "negative": at.got("negative"),
        "cfg": at.either("cfg") if at.box.kind == "CFGGuider" else 1.0,
    }


def _basic_scheduler(at: At) -> dict[str, Any]:
    return {
        "scheduler": _scheduler(at, at.either("scheduler")),
        "steps": at.either("steps"),
        "denoise": at.either("denoise"),
    }


def flux_guidance(at: At) -> None:
    """The scale that a distilled model takes as an input rides on the conditioning there."""
    carried = at.got("conditioning")
    name = at.put("guidance.embedded", {"scale": at.either("guidance")})
    at.out(0, replace(carried, guidance=f"{name}.guidance") if carried is not None else None)


def encode(at: At) -> None:
    """A prompt; the layer that was chosen for its encoder is an input of it here."""
    encoder = at.got("clip")
    texts = [at.either(name) for name in ("text", "t5xxl", "text_g", "clip_g", "text_l", "clip_l")]
    said = [text for text in texts if text not in (None, "")]
    if len({str(text) for text in said}) > 1:
        at.tell("its encoders have texts of their own; one of them is taken for all")
    skip = encoder.clip_skip if encoder is not None else 1
    inputs = {"encoder": wired(encoder), "text": said[0] if said else "", "clip_skip": skip if skip > 1 else None}
    name = at.put("text.encode", inputs)
    wire, guidance = f"{name}.conditioning", ""
    if "target_width" in at.box.inputs or "ascore" in at.box.inputs:
        sizes = {
            "width": "width", "height": "height", "crop_w": "crop_x", "crop_h": "crop_y",
            "target_width": "target_width", "target_height": "target_height", "ascore": "score",
        }  # fmt: skip
        given = {ours: at.either(theirs) for theirs, ours in sizes.items()}
        wire = f"{at.put('text.size', {'conditioning': {'from': wire}, **given})}.conditioning"
    if at.box.kind == "CLIPTextEncodeFlux" and at.either("guidance") is not None:
        guidance = f"{at.put('guidance.embedded', {'scale': at.either('guidance')})}.guidance"
    at.out(0, Carried(wire, guidance=guidance))


def clip_layer(at: At) -> None:
    """Which layer of the encoder speaks: -1 is the last."""
    carried, layer = at.got("clip"), at.given("stop_at_clip_layer")
    at.out(0, replace(carried, clip_skip=abs(layer) if isinstance(layer, int) and layer else 1) if carried else None)


def empty_latent(at: At) -> None:
    """An empty latent; here the model that will fill it says how many channels it has."""
    batch = at.either("batch_size")
    inputs = {"width": at.either("width"), "height": at.either("height"), "batch": None if batch == 1 else batch}
    name = at.put("latent.empty", inputs)
    at.out(0, Carried(f"{name}.latent", canvas=(name,)))


def lora(at: At) -> None:
    """A LoRA: its file, and where it is applied; one strength for both, or each its own."""
    model, encoder = at.got("model"), at.got("clip")
    strong = at.either("strength_model")
    read = at.put("lora.load", {"lora": path(at.either("lora_name")), "strength": strong})
    soft = at.either("strength_clip")
    together = encoder is not None and soft == strong
    inputs = {"model": wired(model), "lora": {"from": f"{read}.lora"}}
    name = at.put("lora.apply", {**inputs, "text_encoder": wired(encoder) if together else None})
    at.out(0, with_wire(model, f"{name}.model"))
    if together:
        at.out(1, with_wire(encoder, f"{name}.text_encoder"))
    elif encoder is not None:
        own = at.put("lora.load", {"lora": path(at.either("lora_name")), "strength": soft})
        second = at.put("lora.apply", {**inputs, "lora": {"from": f"{own}.lora"}, "text_encoder": wired(encoder)})
        at.out(1, with_wire(encoder, f"{second}.text_encoder"))


def control(at: At) -> None:
    """A ControlNet rides on both conditionings there, and is one input of the sampler here."""
    net, positive, negative = at.got("control_net"), at.got("positive") or at.got("conditioning"), at.got("negative")
    before = next((one.control for one in (positive, negative) if one is not None and one.control), "")
    name = at.put(
        "control.apply",
        {
            "controlnet": wired(net),
            "image": at.either("image"),
            "strength": at.either("strength"),
            "start": at.either("start_percent") or None,
            "end": None if at.either("end_percent") == 1 else at.either("end_percent"),
            "mode": net.parts.get("mode") if net is not None else None,
            "vae": wired(at.got("vae")),
            "previous": {"from": before} if before else None,
        },
    )
    for slot, one in enumerate((positive, negative)):
        at.out(slot, replace(one, control=f"{name}.control") if one is not None else None)


def union_type(at: At) -> None:
    """What a union ControlNet is to see is an input of its use here."""
    net, kind = at.got("control_net"), at.given("type")
    at.out(0, replace(net, parts={"mode": UNION.get(str(kind), "auto")}) if net is not None else None)


def inpaint_condition(at: At) -> None:
    """The conditionings pass; the latent brings picture and mask along."""
    inputs = {"image": at.either("pixels"), "vae": wired(at.got("vae")), "mask": at.either("mask")}
    keep = False if at.given("noise_mask") is False else None
    name = at.put("inpaint.condition", {**inputs, "keep": keep})
    at.out(0, at.got("positive"))
    at.out(1, at.got("negative"))
    at.out(2, Carried(f"{name}.latent"))


def load_denoiser(at: At) -> None:
    """A denoiser alone; the precision it is kept in is a node of its own here."""
    name = at.put("load.denoiser", {"model": path(at.either("unet_name"))})
    wire, kept = f"{name}.model", str(at.given("weight_dtype") or "default")
    if kept.startswith("fp8"):
        storage = "float8_e5m2" if "e5m2" in kept else "float8_e4m3fn"
        wire = f"{at.put('numerics.precision', {'model': {'from': wire}, 'storage': storage})}.model"
    at.out(0, Carried(wire))


def load_encoder(at: At) -> None:
    """Text encoders: one file, or the two or three that a model has."""
    names = [at.either(name) for name in ("clip_name", "clip_name1", "clip_name2", "clip_name3")]
    files = [path(name) for name in names if name]
    name = at.put("load.text_encoder", dict(zip(("model", "model_2", "model_3"), files, strict=False)))
    at.out(0, Carried(f"{name}.text_encoder"))


def model_sampling(at: At) -> None:
    """What the model predicts."""
    kinds = {"eps": "epsilon", "v_prediction": "v_prediction", "x0": "sample"}
    kind = at.given("sampling")
    if kind == "lcm":
        at.tell("an LCM needs its sampler alone here: 'lcm'")
    name = at.put(
        "model.sampling",
        {"model": wired(at.got("model")), "prediction": kinds.get(str(kind)), "zero_snr": at.given("zsnr") or None},
    )
    at.out(0, with_wire(at.got("model"), f"{name}.model"))


def save_image(at: At) -> None:
    """The result of the workflow."""
    name = at.put("image.save", {"image": at.either("images"), "name": path(at.either("filename_prefix"))})
    at.making.outputs.setdefault("image" if not at.making.outputs else name, f"{name}.image")


def image_scale(at: At) -> None:
    """A size; 0 is what the other side asks for, a crop keeps the picture's proportions."""
    width, height, how = at.either("width"), at.either("height"), method(at.either("upscale_method"))
    image = at.either("image")
    if width == 0 or height == 0:
        side = {"by": "height", "size": height} if width == 0 else {"by": "width", "size": width}
        name = at.put("image.resize_to", {"image": image, **side, "multiple": 1, "method": how})
    else:
        fit = "cover" if at.given("crop") == "center" else None
        name = at.put("image.resize", {"image": image, "width": width, "height": height, "method": how, "fit": fit})
    at.out(0, Carried(f"{name}.image"))


RULES: dict[str, Callable[[At], None]] = {
    **PLAIN,
    "KSampler": ksampler,
    "KSamplerAdvanced": ksampler_advanced,
    "SamplerCustom": sampler_custom,
    "SamplerCustomAdvanced": sampler_custom,
    "RandomNoise": _parts(lambda at: {"seed": _seed(at, "noise_seed")}),
    "DisableNoise": _parts(lambda at: {"add_noise": False}),
    "KSamplerSelect": _parts(lambda at: {"sampler": _sampler(at, at.either("sampler_name"))}),
    "BasicScheduler": _parts(_basic_scheduler),
    "CFGGuider": _parts(_guider),
    "BasicGuider": _parts(_guider),
    "FluxGuidance": flux_guidance,
    "CLIPTextEncode": encode,
    "CLIPTextEncodeFlux": encode,
    "CLIPTextEncodeSD3": encode,
    "CLIPTextEncodeSDXL": encode,
    "CLIPTextEncodeSDXLRefiner": encode,
    "CLIPSetLastLayer": clip_layer,
    "EmptyLatentImage": empty_latent,
    "EmptySD3LatentImage": empty_latent,
    "LoraLoader": lora,
    "LoraLoaderModelOnly": lora,
    "ControlNetApply": control,
    "ControlNetApplyAdvanced": control,
    "ControlNetApplySD3": control,
    "SetUnionControlNetType": union_type,
    "InpaintModelConditioning": inpaint_condition,
    "UNETLoader": load_denoiser,
    "UnetLoaderGGUF": load_denoiser,
    "CLIPLoader": load_encoder,
    "CLIPLoaderGGUF": load_encoder,
    "DualCLIPLoader": load_encoder,
    "DualCLIPLoaderGGUF": load_encoder,
    "TripleCLIPLoader": load_encoder,
    "ModelSamplingDiscrete": model_sampling,
    "RescaleCFG": _patch("rescale", "multiplier"),
    "PerturbedAttentionGuidance": _patch("pag", "scale"),
    "SaveImage": save_image,
    "ImageScale": image_scale,
}
