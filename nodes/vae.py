"""Vae: between pictures and latents, as latent diffusion has it (Rombach et al. 2022, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import Mend, Problem, Where, refuse
from engine.node import Help, Range, Seed, node
from engine.run import Run
from engine.sockets import copy, facts_of, rule, same
from nodes.families import overflows
from nodes.image.tiles import Box, Tiling
from nodes.latent import Cells, check_size, check_space, mask_cells
from nodes.types import VAE, Image, Latent, Mask

if TYPE_CHECKING:
    import torch

Precision = Annotated[
    Literal["run", "float32", "bfloat16", "float16"],
    Help("What the VAE computes in; 'run' follows the run's numerics. Some half-precision VAEs overflow."),
]
Fit = Annotated[
    Literal["refuse", "crop", "pad"],
    Help("What to do with a size that is no whole number of latent cells: crop the middle, or repeat the border."),
]
Tile = Annotated[
    int,
    Range(0, 8192, 64, soft=(0, 2048)),
    Help("Pixels a side of each tile, for pictures too large for the memory; 0 does the whole at once."),
]
Overlap = Annotated[int, Range(0, 2048, 8, soft=(16, 256)), Help("Pixels that neighbouring tiles share.")]
# Maps of the widest kind that are alive at once: 3 to 5 were counted, encoding or decoding; one more for convolutions.
LIVE_MAPS = 6
ALONE, TILES = "one picture at a time", "tiles"  # how a VAE makes do with less memory, the milder first
LEAN_TILE = 512  # pixels


def encode_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of an encoded picture; a size that does not fit is refused as soon as it is known."""
    vae, image = inputs["vae"], facts_of(inputs["image"])
    facts = {"latent_space": facts_of(vae).get("latent_space"), "batch": image.get("batch"), "beside": 0}
    facts["picture"] = True if inputs.get("mask") is None else None  # to be redrawn as a whole: denoise 1 would lose it
    if isinstance(vae, VAE) and "width" in image and "height" in image:
        size = _fitted(vae, image["width"], image["height"], inputs["fit"])
        facts |= {"width": size[0], "height": size[1]}
    return {"latent": {key: value for key, value in facts.items() if value is not None}}


def _fitted(vae: VAE, width: int, height: int, fit: str) -> tuple[int, int]:
    """The size that is encoded: whole latent cells."""
    factor = vae.space.factor
    if fit == "crop":
        width, height = width - width % factor, height - height % factor
    elif fit == "pad":
        width, height = width + -width % factor, height + -height % factor
    check_size(vae.space, width, height, socket="image")
    return width, height


@node(
    "vae.encode",
    title="VAE encode",
    advanced=("sample", "seed", "fit", "cells", "precision", "tile", "overlap"),
    output="latent",
    facts=[rule("nodes.vae:encode_facts")],
    lints="nodes.vae:advice",
    aliases=["VAEEncode", "VAEEncodeTiled", "img2img", "image to image"],
)
def encode(
    run: Run,
    vae: VAE,
    image: Image,
    mask: Annotated[Mask | None, Help("Where the latent may change later, 1 = change; of the picture's size.")] = None,
    sample: Annotated[bool, Help("Draw from the posterior, item i from seed + i, instead of taking its mode.")] = False,
    seed: Seed = 0,
    fit: Fit = "refuse",
    cells: Cells = "nearest",
    precision: Precision = "run",
    tile: Tile = 0,
    overlap: Overlap = 64,
) -> Latent:
    """A picture as latents: `(posterior - shift) * scale`, float32 [batch, channel, height / 8, width / 8].

    The seed matters only when sampling; 8 stands for the VAE's factor. Tiles need a fraction of the memory and fade
    into each other; the result differs a little from the whole, because a VAE's normalisation sees only its tile.
    """
    latent = Latent(
        encoded(run, vae, to_cells(vae, image.pixels, fit), precision, sample, seed, tile, overlap), vae.space
    )
    if mask is None:
        return latent
    alpha = to_cells(vae, mask.alpha[..., None], fit)[..., 0]
    return replace(latent, noise_mask=mask_cells(Mask(alpha), latent, cells))


def encoded(
    run: Run,
    vae: VAE,
    pixels: torch.Tensor,
    precision: str = "run",
    sample: bool = False,
    seed: int = 0,
    tile: int = 0,
    overlap: int = 64,
) -> torch.Tensor:
    """[batch, height, width, 3], whole latent cells, as scaled latents float32 [batch, channel, h, w]."""
    import torch

    planes, factor = pixels.movedim(-1, 1), vae.space.factor  # (B, 3, H, W)
    count, tile = _leaner(run, len(planes), tile)
    tiling = _tiling(vae, planes.shape[2] // factor, planes.shape[3] // factor, tile, overlap)
    piece = (count, 3, *_piece(tiling, factor))
    with run.lease(_in(vae, precision), working_bytes=_working(vae, piece)) as module, torch.no_grad():
        device, dtype = _where(module)
        draws: torch.Tensor | None = None
        if sample:
            shape = (vae.space.channels, tiling.height, tiling.width)
            draws = torch.stack([torch.randn(shape, generator=g) for g in run.generators(seed, len(planes))])

        def one(box: Box) -> torch.Tensor:
            _tell(run, tiling, box)
            part = box.times(factor)
            done = []
            for first in range(0, len(planes), count):
                cut = planes[first : first + count, :, part.top : part.bottom, part.left : part.right]
                posterior = module.encode((2.0 * cut - 1.0).to(device, dtype)).latent_dist
                if draws is None:
                    z = posterior.mode()
                else:
                    noise = draws[first : first + count, :, box.top : box.bottom, box.left : box.right]
                    z = posterior.mean + posterior.std * noise.to(device, dtype)
                done.append(((z - vae.shift) * vae.scale).float())
            return torch.cat(done)

        latents = tiling.put_together(one)
    _check_finite(latents, dtype, "encoding")
    return latents


@node(
    "vae.decode",
    title="VAE decode",
    advanced=("precision", "tile", "overlap"),
    output="image",
    facts=[
        same("latent_space", "vae", "latent", why="each VAE reads only its own latents"),
        *(copy(f"latent.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")),
    ],
    lints="nodes.vae:advice",
    aliases=["VAEDecode", "VAEDecodeTiled"],
)
def decode(
    run: Run, vae: VAE, latent: Latent, precision: Precision = "run", tile: Tile = 0, overlap: Overlap = 64
) -> Image:
    """Latents as a picture: `decode(latent / scale + shift)`, from -1..1 to 0..1 and clamped, as diffusers does.

    Tiles need a fraction of the memory and fade into each other; the result differs a little from the whole, because a
    VAE's normalisation and attention see only their tile.
    """
    import torch

    error = check_space(vae.space, latent)
    if error:
        raise error
    if latent.samples.ndim != 4:
        raise refuse("this VAE decodes pictures, the latent is a video", socket="latent")
    batch, _, height, width = latent.samples.shape
    factor = vae.space.factor
    count, tile = _leaner(run, batch, tile)
    tiling = _tiling(vae, height, width, tile, overlap)
    piece = (count, 3, *_piece(tiling, factor))
    with run.lease(_in(vae, precision), working_bytes=_working(vae, piece)) as module, torch.no_grad():
        device, dtype = _where(module)
        z = latent.samples.to(device, dtype) / vae.scale + vae.shift

        def one(box: Box) -> torch.Tensor:
            _tell(run, tiling, box)
            cut = z[..., box.top : box.bottom, box.left : box.right]
            return torch.cat([module.decode(some, return_dict=False)[0] for some in cut.split(count)])

        decoded = tiling.put_together(one, factor)
    _check_finite(decoded, dtype, "decoding")
    pixels = (decoded * 0.5 + 0.5).clamp(0, 1)  # (B, 3, H, W); diffusers' VaeImageProcessor.denormalize
    return Image(pixels.permute(0, 2, 3, 1).float().contiguous())


def advice(**inputs: Any) -> Iterator[Problem]:
    """The lint of both nodes: float16 asked of a VAE whose makers say that it overflows there (SDXL's, Flux's)."""
    vae = inputs["vae"]
    if inputs["precision"] == "float16" and isinstance(vae, VAE) and overflows(vae):
        message = "this VAE overflows in float16 and is computed in float32 all the same"
        mend = Mend("use 'run', or bfloat16, which has the range", ({"set": "precision", "value": "run"},))
        yield Problem("lint.vae_half", message, Where(socket="precision"), mend, severity="lint")


def _leaner(run: Run, batch: int, tile: int) -> tuple[int, int]:
    """How many pictures at once, and the tiles' size: less of both when the device ran out before."""
    count = 1 if batch > 1 and run.leaner(ALONE) else batch
    return count, LEAN_TILE if not tile and run.leaner(TILES) else tile


def _tiling(vae: VAE, height: int, width: int, tile: int, overlap: int) -> Tiling:
    """Tiles in latent cells, from sizes in pixels."""
    factor = vae.space.factor
    return Tiling(height, width, -(-tile // factor), overlap // factor)


def _piece(tiling: Tiling, factor: int) -> tuple[int, int]:
    """Height and width of the largest tile, in pixels."""
    box = tiling.boxes[0]
    return (box.bottom - box.top) * factor, (box.right - box.left) * factor


def _tell(run: Run, tiling: Tiling, box: Box) -> None:
    """Progress, and a place to end when cancelled, where there is more than one tile."""
    if len(tiling.boxes) > 1:
        run.progress(tiling.boxes.index(box), len(tiling.boxes), "tiles")


def _in(vae: VAE, precision: str) -> VAE:
    """The VAE with a dtype of its own, unless it follows the run."""
    if precision == "run":
        return vae
    rest = tuple(item for item in vae.numerics if item[0] != "dtype")
    return replace(vae, numerics=tuple(sorted((*rest, ("dtype", precision)))))


def _where(module: Any) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of a module, by its first parameter."""
    first = next(module.parameters())
    return first.device, first.dtype


def _working(vae: VAE, shape: tuple[int, ...]) -> int:
    """Bytes of activations that a picture [batch, 3, height, width] needs in float32, the dearest dtype."""
    batch, _, height, width = shape
    return batch * height * width * vae.width * LIVE_MAPS * 4


def to_cells(vae: VAE, pixels: torch.Tensor, fit: str) -> torch.Tensor:
    """[batch, height, width, channel] cut in the middle, or its border repeated, to whole latent cells."""
    import torch.nn.functional as F

    height, width = pixels.shape[1:3]
    to_width, to_height = _fitted(vae, width, height, fit)
    top, left = abs(height - to_height) // 2, abs(width - to_width) // 2
    if fit == "crop":
        return pixels[:, top : top + to_height, left : left + to_width]
    if (to_width, to_height) == (width, height):
        return pixels
    edges = (left, to_width - width - left, top, to_height - height - top)
    return F.pad(pixels.movedim(-1, 1), edges, mode="replicate").movedim(1, -1)


def _check_finite(values: torch.Tensor, dtype: torch.dtype, doing: str) -> None:
    if not bool(values.isfinite().all()):
        name = str(dtype).removeprefix("torch.")
        half = name in ("float16", "bfloat16")
        raise refuse(
            f"{doing} in {name} gave values that are not finite",
            socket="precision" if half else "latent" if doing == "decoding" else "image",
            mend="set precision to float32" if half else "look for the step before that overflowed",
        )
