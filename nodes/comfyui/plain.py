"""Plain: classes of ComfyUI that have one node of ours, by their names of inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodes.comfyui.making import At, Carried, with_wire

Fix = Callable[[Any], Any]
METHODS = {"nearest-exact": "nearest"}


def method(name: Any) -> Any:
    """A way of resampling under our name."""
    return METHODS.get(name, name)


def path(name: Any) -> Any:
    """A file's name, with the strokes that ours have on every system; `name [output]` names a folder, too."""
    return name.replace("\\", "/").removesuffix(" [input]") if isinstance(name, str) else name


@dataclass(frozen=True)
class Plain:
    """`inputs`: theirs -> ours, or ours and a change of the value. `outs`: ours by slot. `more`: what ours needs.

    `keeps` names the input whose riders (a conditioning's controls, a latent's canvas) go on with the first output.
    """

    type: str
    inputs: Mapping[str, str | tuple[str, Fix]]
    outs: tuple[str, ...]
    more: Mapping[str, Any] = field(default_factory=dict)
    keeps: str = ""
    idle: tuple[str, ...] = ()  # inputs that have no meaning here, or one value alone

    def __call__(self, at: At) -> None:
        """Put it down."""
        inputs: dict[str, Any] = dict(self.more)
        grown: dict[str, list[Any]] = {}
        for theirs, named in self.inputs.items():
            ours, fix = named if isinstance(named, tuple) else (named, None)
            value = at.either(theirs)
            if value is None:
                continue
            if fix is not None and not isinstance(value, dict):
                value = fix(value)
            if ours.endswith("[]"):
                grown.setdefault(ours[:-2], []).append(value)
            else:
                inputs[ours] = value
        name = at.put(self.type, {**inputs, **grown})
        for theirs in at.box.inputs:
            if theirs not in self.inputs and theirs not in self.idle and not theirs.startswith("value_"):
                at.tell(f"'{theirs}' is not taken over")
        rider = at.got(self.keeps) if self.keeps else None
        for slot, out in enumerate(self.outs):
            wire = f"{name}.{out}"
            at.out(slot, with_wire(rider, wire) if slot == 0 else Carried(wire))


def _latent(type: str, inputs: Mapping[str, str | tuple[str, Fix]], idle: tuple[str, ...] = ()) -> Plain:
    return Plain(type, {"samples": "latent", **inputs}, ("latent",), keeps="samples", idle=idle)


def _image(type: str, inputs: Mapping[str, str | tuple[str, Fix]], idle: tuple[str, ...] = (), **more: Any) -> Plain:
    return Plain(type, {"image": "image", **inputs}, ("image",), more, idle=idle)


def _turned(degrees: Any) -> Any:
    return (
        str(degrees).partition(" ")[0] if str(degrees)[:1].isdigit() and not str(degrees).startswith("none") else "180"
    )


def _colour(number: Any) -> Any:
    return f"#{number & 0xFFFFFF:06x}" if isinstance(number, int) else number


def _flip(way: Any) -> str:
    return "vertical" if str(way).startswith("x-axis") or str(way).startswith("vertical") else "horizontal"


_BLEND = {"difference": "difference", "soft_light": "soft light"}
_CHANNEL = {"alpha": "luma"}
_OPERATIONS = {"and": "intersect", "or": "union"}

PLAIN: dict[str, Plain] = {
    # what is loaded
    "CheckpointLoaderSimple": Plain("load.model", {"ckpt_name": ("model", path)}, ("model", "text_encoder", "vae")),
    "unCLIPCheckpointLoader": Plain("load.model", {"ckpt_name": ("model", path)}, ("model", "text_encoder", "vae")),
    "CheckpointLoader": Plain(
        "load.model", {"ckpt_name": ("model", path)}, ("model", "text_encoder", "vae"), idle=("config_name",)
    ),
    "DiffusersLoader": Plain("load.model", {"model_path": ("model", path)}, ("model", "text_encoder", "vae")),
    "VAELoader": Plain("load.vae", {"vae_name": ("model", path)}, ("vae",)),
    "UpscaleModelLoader": Plain("load.upscaler", {"model_name": ("upscaler", path)}, ("upscaler",)),
    "ControlNetLoader": Plain("control.load", {"control_net_name": ("controlnet", path)}, ("controlnet",)),
    "DiffControlNetLoader": Plain(
        "control.load", {"control_net_name": ("controlnet", path)}, ("controlnet",), idle=("model",)
    ),
    "LoadImage": Plain("image.load", {"image": ("name", path)}, ("image", "mask"), idle=("upload",)),
    "LoadImageMask": Plain("mask.load", {"image": ("name", path), "channel": "channel"}, ("mask",), idle=("upload",)),
    # latents
    "VAEDecode": Plain("vae.decode", {"samples": "latent", "vae": "vae"}, ("image",)),
    "VAEDecodeTiled": Plain(
        "vae.decode",
        {"samples": "latent", "vae": "vae", "tile_size": "tile", "overlap": "overlap"},
        ("image",),
        idle=("temporal_size", "temporal_overlap"),
    ),
    "VAEEncode": Plain("vae.encode", {"pixels": "image", "vae": "vae"}, ("latent",)),
    "VAEEncodeTiled": Plain(
        "vae.encode",
        {"pixels": "image", "vae": "vae", "tile_size": "tile", "overlap": "overlap"},
        ("latent",),
        idle=("temporal_size", "temporal_overlap"),
    ),
    "VAEEncodeForInpaint": Plain(
        "inpaint.encode", {"pixels": "image", "vae": "vae", "mask": "mask", "grow_mask_by": "grow"}, ("latent",)
    ),
    "SetLatentNoiseMask": _latent("latent.set_mask", {"mask": "mask"}),
    "LatentUpscaleBy": _latent("latent.scale", {"upscale_method": ("method", method), "scale_by": "factor"}),
    "LatentUpscale": _latent(
        "latent.resize", {"upscale_method": ("method", method), "width": "width", "height": "height"}, ("crop",)
    ),
    "RepeatLatentBatch": _latent("latent.repeat", {"amount": "times"}),
    "LatentFromBatch": _latent("latent.pick", {"batch_index": "index", "length": "count"}),
    "LatentFlip": _latent("latent.flip", {"flip_method": ("direction", _flip)}),
    "LatentRotate": _latent("latent.rotate", {"rotation": ("degrees", _turned)}),
    "LoadLatent": Plain("latent.load", {"latent": ("name", path)}, ("latent",)),
    "LatentCrop": _latent("latent.crop", {"x": "x", "y": "y", "width": "width", "height": "height"}),
    "SaveLatent": _latent("latent.save", {"filename_prefix": ("name", path)}),
    "LatentBlend": Plain(
        "latent.blend",
        {"samples1": "latent", "samples2": "other", "blend_factor": ("amount", lambda v: 1 - v)},
        ("latent",),
        keeps="samples1",
    ),
    "LatentComposite": Plain(
        "latent.composite",
        {"samples_to": "latent", "samples_from": "other", "x": "x", "y": "y", "feather": "feather"},
        ("latent",),
        keeps="samples_to",
    ),
    "LatentCompositeMasked": Plain(
        "latent.composite",
        {"destination": "latent", "source": "other", "x": "x", "y": "y", "mask": "mask"},
        ("latent",),
        keeps="destination",
        idle=("resize_source",),
    ),
    # conditioning
    "ConditioningCombine": Plain(
        "text.combine",
        {"conditioning_1": "conditionings[]", "conditioning_2": "conditionings[]"},
        ("conditioning",),
        keeps="conditioning_1",
    ),
    "ConditioningConcat": Plain(
        "text.concat",
        {"conditioning_to": "first", "conditioning_from": "second"},
        ("conditioning",),
        keeps="conditioning_to",
    ),
    "ConditioningAverage": Plain(
        "text.average",
        {
            "conditioning_to": "first",
            "conditioning_from": "second",
            "conditioning_to_strength": ("share", lambda strength: 1 - strength),
        },
        ("conditioning",),
        keeps="conditioning_to",
    ),
    "ConditioningZeroOut": Plain(
        "text.zero", {"conditioning": "conditioning"}, ("conditioning",), keeps="conditioning"
    ),
    "ConditioningSetArea": Plain(
        "text.area",
        {
            "conditioning": "conditioning",
            "x": "x",
            "y": "y",
            "width": "width",
            "height": "height",
            "strength": "weight",
        },
        ("conditioning",),
        keeps="conditioning",
    ),
    "ConditioningSetAreaPercentage": Plain(
        "text.place",
        {
            "conditioning": "conditioning",
            "x": "x",
            "y": "y",
            "width": "width",
            "height": "height",
            "strength": "weight",
        },
        ("conditioning",),
        keeps="conditioning",
    ),
    "ConditioningSetAreaStrength": Plain(
        "text.place", {"conditioning": "conditioning", "strength": "weight"}, ("conditioning",), keeps="conditioning"
    ),
    "ConditioningSetMask": Plain(
        "text.place",
        {"conditioning": "conditioning", "mask": "mask", "strength": "weight"},
        ("conditioning",),
        keeps="conditioning",
        idle=("set_cond_area",),
    ),
    "ConditioningSetTimestepRange": Plain(
        "text.place",
        {"conditioning": "conditioning", "start": "start", "end": "end"},
        ("conditioning",),
        keeps="conditioning",
    ),
    # models
    "FreeU": Plain(
        "model.freeu", {"model": "model", "b1": "b1", "b2": "b2", "s1": "s1", "s2": "s2"}, ("model",), keeps="model"
    ),
    "FreeU_V2": Plain(
        "model.freeu", {"model": "model", "b1": "b1", "b2": "b2", "s1": "s1", "s2": "s2"}, ("model",), keeps="model"
    ),
    "DifferentialDiffusion": Plain(
        "model.differential", {"model": "model"}, ("model",), keeps="model", idle=("strength",)
    ),
    "ModelSamplingSD3": Plain("model.sampling", {"model": "model", "shift": "shift"}, ("model",), keeps="model"),
    "ModelSamplingAuraFlow": Plain("model.sampling", {"model": "model", "shift": "shift"}, ("model",), keeps="model"),
    "ModelSamplingFlux": Plain(
        "model.sampling",
        {"model": "model", "max_shift": "max_shift", "base_shift": "base_shift"},
        ("model",),
        keeps="model",
        idle=("width", "height"),
    ),
    # pictures
    "PreviewImage": Plain("image.preview", {"images": "image"}, ("image",)),
    "ImageUpscaleWithModel": Plain("upscale.model", {"upscale_model": "upscaler", "image": "image"}, ("image",)),
    "ImageScaleBy": _image("image.scale", {"upscale_method": ("method", method), "scale_by": "factor"}),
    "ImageScaleToTotalPixels": _image(
        "image.resize_to",
        {"upscale_method": ("method", method), "megapixels": "size"},
        ("resolution_steps",),
        by="megapixels",
        multiple=1,
    ),
    "ImageInvert": _image("image.invert", {}),
    "ImageBlur": _image("image.blur", {"blur_radius": "radius"}, ("sigma",)),
    "ImageSharpen": _image("image.sharpen", {"sharpen_radius": "radius", "alpha": "amount"}, ("sigma",)),
    "ImageQuantize": _image("image.quantize", {"colors": "colours", "dither": ("dither", lambda way: way != "none")}),
    "ImageCrop": _image("image.crop", {"x": "x", "y": "y", "width": "width", "height": "height"}),
    "ImageFlip": _image("image.flip", {"flip_method": ("direction", _flip)}),
    "ImageRotate": _image("image.rotate", {"rotation": ("degrees", _turned)}),
    "ImageFromBatch": _image("image.pick", {"batch_index": "index", "length": "count"}),
    "RepeatImageBatch": _image("image.repeat", {"amount": "times"}),
    "GetImageSize": Plain("image.size", {"image": "image"}, ("width", "height", "batch")),
    "Canny": _image("preprocess.canny", {"low_threshold": "low", "high_threshold": "high"}),
    "ImageBatch": Plain("image.batch", {"image1": "images[]", "image2": "images[]"}, ("image",)),
    "ImageBlend": Plain(
        "image.blend",
        {
            "image1": "image",
            "image2": "other",
            "blend_factor": "amount",
            "blend_mode": ("mode", lambda mode: _BLEND.get(mode, mode)),
        },
        ("image",),
    ),
    "ImageCompositeMasked": Plain(
        "image.composite",
        {"destination": "image", "source": "other", "x": "x", "y": "y", "mask": "mask"},
        ("image",),
        idle=("resize_source",),
    ),
    "ImagePadForOutpaint": Plain(
        "image.pad",
        {"image": "image", "left": "left", "top": "top", "right": "right", "bottom": "bottom", "feathering": "feather"},
        ("image", "mask"),
    ),
    # masks
    "MaskToImage": Plain("image.from_mask", {"mask": "mask"}, ("image",)),
    "ImageToMask": Plain(
        "mask.from_image", {"image": "image", "channel": ("channel", lambda name: _CHANNEL.get(name, name))}, ("mask",)
    ),
    "ImageColorToMask": Plain(
        "mask.from_colour", {"image": "image", "color": ("colour", _colour)}, ("mask",), {"tolerance": 0.0}
    ),
    "InvertMask": Plain("mask.invert", {"mask": "mask"}, ("mask",)),
    "GrowMask": Plain(
        "mask.grow",
        {"mask": "mask", "expand": "pixels", "tapered_corners": ("shape", lambda on: "round" if on else "square")},
        ("mask",),
    ),
    "FeatherMask": Plain(
        "mask.fade", {"mask": "mask", "left": "left", "top": "top", "right": "right", "bottom": "bottom"}, ("mask",)
    ),
    "SolidMask": Plain("mask.solid", {"value": "value", "width": "width", "height": "height"}, ("mask",)),
    "CropMask": Plain(
        "mask.crop", {"mask": "mask", "x": "x", "y": "y", "width": "width", "height": "height"}, ("mask",)
    ),
    "ThresholdMask": Plain("mask.threshold", {"mask": "mask", "value": "level"}, ("mask",)),
    "MaskComposite": Plain(
        "mask.combine",
        {
            "destination": "mask",
            "source": "other",
            "operation": ("mode", lambda how: _OPERATIONS.get(how, how)),
        },
        ("mask",),
        idle=("x", "y"),
    ),
    # values
    "PrimitiveInt": Plain("values.int", {"value": "value"}, ("value",)),
    "PrimitiveFloat": Plain("values.float", {"value": "value"}, ("value",)),
    "PrimitiveString": Plain("values.text", {"value": "value"}, ("value",)),
    "PrimitiveStringMultiline": Plain("values.text", {"value": "value"}, ("value",)),
    "PrimitiveBoolean": Plain("values.bool", {"value": "value"}, ("value",)),
    "StringConcatenate": Plain(
        "values.join", {"string_a": "texts[]", "string_b": "texts[]", "delimiter": "separator"}, ("text",)
    ),
}
