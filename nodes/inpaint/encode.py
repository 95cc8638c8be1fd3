"""Encode: a picture and a mask as latents for inpainting, with any model or with one that was made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.node import Help, Range, Seed, node
from engine.run import Run
from engine.sockets import copy, rule, same
from nodes.image.filters import check_alike
from nodes.latent import mask_cells
from nodes.mask import grown
from nodes.types import VAE, Image, Latent, Mask
from nodes.vae import Fit, Precision, encode_facts, encoded, to_cells

if TYPE_CHECKING:
    import torch

AGREE = [same("width", "image", "mask"), same("height", "image", "mask")]


@node(
    "inpaint.encode",
    title="Encode for inpainting",
    advanced=("fit", "precision"),
    output="latent",
    facts=[*AGREE, rule("nodes.vae:encode_facts")],
    aliases=["VAEEncodeForInpaint", "VAE Encode (for Inpainting)", "inpaint", "inpainting"],
)
def encode(
    run: Run,
    vae: VAE,
    image: Image,
    mask: Mask,
    grow: Annotated[int, Range(0, 256, 1, soft=(0, 64)), Help("Pixels that may change around the mask.")] = 6,
    fit: Fit = "refuse",
    precision: Precision = "run",
) -> Latent:
    """A picture whose masked part is wiped to grey, as latents that may change there; for redrawing from nothing.

    Sample it with denoise 1: below the mask nothing of the old picture is left to begin from. To change what is there
    only in part, use `vae.encode` with the mask instead. Gives [batch, channel, h, w] and a noise mask of cells.
    """
    pixels, alpha = _both(vae, image, mask, fit)
    latents = encoded(run, vae, wiped(pixels, alpha), precision)
    latent = Latent(latents, vae.space)
    return replace(latent, noise_mask=mask_cells(Mask(grown((alpha >= 0.5).float(), grow)), latent, "cover"))


def condition_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """The facts of an encoded picture, and the channels beside it: the mask's, and the picture's."""
    found = encode_facts(**inputs)
    vae = inputs["vae"]
    beside = {"beside": 1 + vae.space.channels} if isinstance(vae, VAE) else {}
    return {"latent": {key: value for key, value in found["latent"].items() if key != "beside"} | beside}


@node(
    "inpaint.condition",
    title="Inpaint model conditioning",
    advanced=("keep", "fit", "precision"),
    output="latent",
    facts=[*AGREE, rule("nodes.inpaint.encode:condition_facts")],
    aliases=["InpaintModelConditioning", "9 channels", "inpainting model"],
)
def condition(
    run: Run,
    vae: VAE,
    image: Image,
    mask: Mask,
    keep: Annotated[bool, Help("Also put the rest of the picture back in every step, as with any model.")] = True,
    fit: Fit = "refuse",
    precision: Precision = "run",
) -> Latent:
    """A picture and a mask for a model that was made for inpainting: it sees both beside the noise.

    Such a UNet takes 9 channels: 4 of the noise, 1 of the mask (1 = redraw), 4 of the picture with the masked part grey
    (Rombach et al. 2022, section 4.5). Plain models refuse it; use `inpaint.encode` or `vae.encode` for them.
    """
    import torch

    pixels, alpha = _both(vae, image, mask, fit)
    hole = (alpha >= 0.5).float()
    latent = Latent(encoded(run, vae, pixels, precision), vae.space)
    shown = encoded(run, vae, wiped(pixels, hole), precision)
    cells = mask_cells(Mask(hole), latent, "nearest").to(shown)
    beside = torch.cat([cells.expand(len(shown), -1, -1, -1), shown], dim=1)  # (B, 1 + C, h, w)
    return replace(latent, beside=beside, noise_mask=cells if keep else None)


def _both(vae: VAE, image: Image, mask: Mask, fit: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels [batch, height, width, 3] and mask [batch or 1, height, width], whole latent cells."""
    check_alike(image.pixels, mask.alpha[..., None], "mask")
    alpha = mask.alpha.to(image.pixels.device)[..., None]
    return to_cells(vae, image.pixels, fit), to_cells(vae, alpha, fit)[..., 0]


def wiped(pixels: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Grey (0.5, the middle of the VAE's -1..1) where the mask is at least a half."""
    return (pixels - 0.5) * (alpha < 0.5)[..., None] + 0.5


@node(
    "inpaint.fill",
    title="Fill masked area",
    output="image",
    lane="cpu",
    facts=[*AGREE, *(copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch"))],
    aliases=["INPAINT_MaskedFill", "prefill", "masked content"],
)
def fill(
    image: Image,
    mask: Mask,
    how: Annotated[
        Literal["smooth", "grey", "noise"],
        Help("smooth: the surroundings' colours run into the hole. grey: 0.5. noise: uniform noise."),
    ] = "smooth",
    seed: Seed = 0,
) -> Image:
    """Fill the masked part with something to begin from; outside the mask not a bit changes.

    `smooth` averages over ever larger cells until the hole is closed, and goes back to fine ones (pull-push, Gortler et
    al. 1996, section 3.4). It suits outpainting and strong changes at denoise below 1.
    """
    import torch

    check_alike(image.pixels, mask.alpha[..., None], "mask")
    pixels = image.pixels
    hole = mask.alpha.to(pixels.device).expand(len(pixels), -1, -1)[..., None]
    if how == "smooth":
        new = _pull_push(pixels.movedim(-1, 1), (hole < 0.5).float().movedim(-1, 1)).movedim(1, -1)
    elif how == "grey":
        new = torch.full_like(pixels, 0.5)
    else:
        generators = [torch.Generator("cpu").manual_seed((seed + item) % 2**64) for item in range(len(pixels))]
        new = torch.stack([torch.rand(pixels.shape[1:], generator=one) for one in generators]).to(pixels)
    return Image(torch.lerp(pixels, new.clamp(0, 1), hole))


def _pull_push(pixels: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """[batch, 3, height, width] with what is not known (0 in [batch, 1, height, width]) filled from around it."""
    import torch.nn.functional as F

    if min(pixels.shape[-2:]) <= 1 or bool((known > 0).all()):
        return pixels
    size = (-(-pixels.shape[-2] // 2), -(-pixels.shape[-1] // 2))
    sums, weight = F.adaptive_avg_pool2d(pixels * known, size), F.adaptive_avg_pool2d(known, size)
    coarse = _pull_push(sums / weight.clamp(min=1e-6), (weight > 0).float())
    smooth = F.interpolate(coarse, size=pixels.shape[-2:], mode="bilinear", align_corners=False)
    return pixels * known + smooth * (1 - known)
