"""Blend: one picture laid on another – all the usual modes, at a place, through a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy, same
from nodes.image.colour import WHITE, Colour, rgb
from nodes.image.filters import check_alike
from nodes.types import Image, Mask

if TYPE_CHECKING:
    import torch

SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
Share = Annotated[float, Range(0, 1, 0.01)]
Offset = Annotated[int, Range(-16_384, 16_384, 1)]
Mode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "add",
    "difference",
    "lighten",
    "darken",
    "soft light",
    "hard light",
    "color dodge",
    "color burn",
    "linear burn",
    "linear light",
    "vivid light",
    "pin light",
    "hard mix",
    "exclusion",
    "subtract",
    "divide",
    "hue",
    "saturation",
    "color",
    "luminosity",
]


@node(
    "image.blend",
    title="Blend images",
    output="image",
    lane="cpu",
    facts=[same("width", "image", "other", "mask"), same("height", "image", "other", "mask"), *SAME_SIZE],
    aliases=["ImageBlend", "blend modes"],
)
def blend(
    image: Image,
    other: Image,
    amount: Annotated[Share, Help("0 is the first picture, 1 the second laid on it in full.")] = 0.5,
    mode: Mode = "normal",
    mask: Annotated[Mask | None, Help("Where the second picture acts, 1 = fully.")] = None,
) -> Image:
    """Lay a second picture on the first; one picture goes with every picture of the other batch.

    The modes are those of the W3C's "Compositing and Blending" (sections 10.1 and 10.2) and, where it has none, of
    picture editors. Where the mask is 0 not a bit changes.
    """
    import torch

    below, above = image.pixels, other.pixels.to(image.pixels.device)
    check_alike(below, above, "other")
    layered = layer(below, above, mode).clamp(0, 1)
    if mask is None:
        return Image(below + (layered - below) * amount)
    check_alike(below, mask.alpha[..., None], "mask")
    return Image(torch.lerp(below.expand_as(layered), layered, amount * mask.alpha.to(below.device)[..., None]))


def layer(below: torch.Tensor, above: torch.Tensor, mode: str) -> torch.Tensor:
    """What stands where `above` covers `below` fully; both [batch, height, width, 3], 0..1."""
    import torch

    below, above = torch.broadcast_tensors(below, above)
    if mode in _WHOLE:
        return _WHOLE[mode](below, above)
    return _SINGLE[mode](below, above)


def _soft_light(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    curve = torch.where(b <= 0.25, ((16 * b - 12) * b + 4) * b, b.clamp(min=0).sqrt())
    return torch.where(s <= 0.5, b - (1 - 2 * s) * b * (1 - b), b + (2 * s - 1) * (curve - b))


def _hard_light(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(s <= 0.5, 2 * b * s, 1 - 2 * (1 - b) * (1 - s))


def _dodge(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    bright = torch.where(s >= 1, 1.0, (b / (1 - s).clamp(min=1e-6)).clamp(max=1))
    return torch.where(b <= 0, 0.0, bright)


def _burn(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    dark = torch.where(s <= 0, 0.0, 1 - ((1 - b) / s.clamp(min=1e-6)).clamp(max=1))
    return torch.where(b >= 1, 1.0, dark)


def _vivid_light(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(s <= 0.5, _burn(b, 2 * s), _dodge(b, 2 * s - 1))


def _pin_light(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(s <= 0.5, torch.minimum(b, 2 * s), torch.maximum(b, 2 * s - 1))


def _larger(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.maximum(b, s)


def _smaller(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.minimum(b, s)


def _divide(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(s <= 0, (b > 0).float(), b / s.clamp(min=1e-6))


Formula = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
# b is below (the backdrop), s above (the source); the results are clamped to 0..1 afterwards.
_SINGLE: Mapping[str, Formula] = {
    "normal": lambda b, s: s,
    "multiply": lambda b, s: b * s,
    "screen": lambda b, s: b + s - b * s,
    "overlay": lambda b, s: _hard_light(s, b),
    "add": lambda b, s: b + s,
    "difference": lambda b, s: (b - s).abs(),
    "lighten": _larger,
    "darken": _smaller,
    "soft light": _soft_light,
    "hard light": _hard_light,
    "color dodge": _dodge,
    "color burn": _burn,
    "linear burn": lambda b, s: b + s - 1,
    "linear light": lambda b, s: b + 2 * s - 1,
    "vivid light": _vivid_light,
    "pin light": _pin_light,
    "hard mix": lambda b, s: (b + s >= 1).float(),
    "exclusion": lambda b, s: b + s - 2 * b * s,
    "subtract": lambda b, s: b - s,
    "divide": _divide,
}


# --- modes that look at all three channels (section 10.2) ------------------------------------------------------------


def _lum(c: torch.Tensor) -> torch.Tensor:
    return (c * c.new_tensor((0.3, 0.59, 0.11))).sum(-1, keepdim=True)


def _with_lum(c: torch.Tensor, lum: torch.Tensor) -> torch.Tensor:
    """The colour with another luminosity, brought back into 0..1 towards its grey."""
    import torch

    c = c + (lum - _lum(c))
    grey, low, high = _lum(c), c.amin(-1, keepdim=True), c.amax(-1, keepdim=True)
    c = torch.where(low < 0, grey + (c - grey) * grey / (grey - low).clamp(min=1e-6), c)
    return torch.where(high > 1, grey + (c - grey) * (1 - grey) / (high - grey).clamp(min=1e-6), c)


def _sat(c: torch.Tensor) -> torch.Tensor:
    return c.amax(-1, keepdim=True) - c.amin(-1, keepdim=True)


def _with_sat(c: torch.Tensor, sat: torch.Tensor) -> torch.Tensor:
    """The colour with its smallest channel at 0 and its largest at `sat`."""
    import torch

    low, spread = c.amin(-1, keepdim=True), _sat(c)
    return torch.where(spread > 0, (c - low) * sat / spread.clamp(min=1e-6), 0.0)


_WHOLE: Mapping[str, Formula] = {
    "hue": lambda b, s: _with_lum(_with_sat(s, _sat(b)), _lum(b)),
    "saturation": lambda b, s: _with_lum(_with_sat(b, _sat(s)), _lum(b)),
    "color": lambda b, s: _with_lum(s, _lum(b)),
    "luminosity": lambda b, s: _with_lum(b, _lum(s)),
}


# --- at a place ------------------------------------------------------------------------------------------------------


@node(
    "image.composite",
    title="Composite images",
    output="image",
    lane="cpu",
    facts=[*SAME_SIZE, same("width", "other", "mask"), same("height", "other", "mask")],
    aliases=["ImageCompositeMasked", "ImageComposite", "paste", "overlay picture"],
)
def composite(
    image: Image,
    other: Image,
    x: Annotated[Offset, Help("Of the second picture's left upper corner, in pixels of the first.")] = 0,
    y: Offset = 0,
    amount: Share = 1.0,
    mode: Mode = "normal",
    mask: Annotated[Mask | None, Help("Of the second picture's size: 1 covers.")] = None,
) -> Image:
    """Lay a second picture of any size on the first at (x, y); what sticks out is cut off.

    Elsewhere not a bit changes. One picture goes with every picture of the other batch.
    """
    import torch

    above = other.pixels.to(image.pixels)
    below, above = _batches(image.pixels, above)
    alpha = above.new_ones(1, *above.shape[1:3]) if mask is None else mask.alpha.to(above)
    check_alike(above, alpha[..., None], "mask")
    height, width = below.shape[1:3]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + above.shape[1], height), min(x + above.shape[2], width)
    out = below.clone()
    if bottom <= top or right <= left:
        return Image(out)
    rows, columns = slice(top - y, bottom - y), slice(left - x, right - x)
    old = out[:, top:bottom, left:right]
    new = layer(old, above[:, rows, columns], mode).clamp(0, 1)
    out[:, top:bottom, left:right] = torch.lerp(old, new, amount * alpha[:, rows, columns, None])
    return Image(out)


def _batches(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both with as many pictures, where one of them has a single one."""
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        message = f"'other' has {len(second)} items, the other {len(first)}"
        raise refuse(message, socket="other", mend="use one, or as many")
    count = max(len(first), len(second))
    return first.expand(count, -1, -1, -1), second.expand(count, -1, -1, -1)


@node(
    "image.over",
    title="Image over colour",
    output="image",
    lane="cpu",
    facts=[same("width", "image", "mask"), same("height", "image", "mask"), *SAME_SIZE],
    aliases=["remove alpha", "flatten", "PorterDuffImageComposite"],
)
def over(image: Image, mask: Mask, colour: Colour = WHITE) -> Image:
    """A picture with transparency laid on one colour. The mask is what `image.load` gives: 1 = transparent."""
    check_alike(image.pixels, mask.alpha[..., None], "mask")
    alpha = 1 - mask.alpha.to(image.pixels)[..., None]
    return Image(image.pixels * alpha + image.pixels.new_tensor(rgb(colour)) * (1 - alpha))
