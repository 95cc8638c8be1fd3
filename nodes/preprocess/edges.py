"""Edges: from a picture to white lines on black, without any trained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from engine.errors import refuse
from engine.node import Help, Range, node
from engine.sockets import copy
from nodes.image.colour import LUMA
from nodes.image.filters import gaussian
from nodes.types import Image

if TYPE_CHECKING:
    import numpy
    import torch

SAME_SIZE = [copy(f"image.{fact}", f"image.{fact}") for fact in ("width", "height", "batch")]
Level = Annotated[float, Range(0, 1, 0.01, soft=(0, 0.6))]


def luma(pixels: torch.Tensor) -> torch.Tensor:
    """[batch, height, width, 3] as [batch, height, width, 1], Rec. 709."""
    return (pixels * pixels.new_tensor(LUMA)).sum(-1, keepdim=True)


def slopes(grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sobel's derivatives (x, y) of [batch, height, width, 1]; a step from black to white is 1."""
    import torch
    import torch.nn.functional as F

    kernel = grey.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    planes = F.pad(grey.movedim(-1, 1), (1, 1, 1, 1), mode="replicate")
    both = F.conv2d(planes, torch.stack([kernel, kernel.T])[:, None])  # (B, 2, H, W)
    return both[:, 0], both[:, 1]


def steepest(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The derivatives (x, y), [batch, height, width] each, of the colour that changes most at each pixel."""
    import torch

    dx, dy = (torch.stack(one) for one in zip(*(slopes(pixels[..., c : c + 1]) for c in range(3)), strict=True))
    most = torch.hypot(dx, dy).argmax(0, keepdim=True)
    return dx.gather(0, most)[0], dy.gather(0, most)[0]


def as_image(lines: torch.Tensor) -> Image:
    """[batch, height, width], 0..1, as a grey picture."""
    return Image(lines.clamp(0, 1)[..., None].repeat(1, 1, 1, 3))


@node(
    "preprocess.canny",
    title="Canny edges",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["Canny", "CannyEdgePreprocessor"],
)
def canny(
    image: Image,
    low: Annotated[Level, Help("A weaker edge than this is none; 0.1 is 100 of other tools' 1020.")] = 0.1,
    high: Annotated[Level, Help("A stronger one is an edge for sure; between them it must touch one.")] = 0.2,
    blur: Annotated[float, Range(0, 10, 0.1, soft=(0, 4)), Help("Standard deviation of a blur before.")] = 1.0,
) -> Image:
    """Thin edges, one pixel wide, white on black (Canny 1986): gradient, its ridges, and hysteresis.

    Thresholds are of Sobel's gradient, where a step from black to white is 1; of the three colours the steepest counts,
    so that red on a green of the same brightness has an edge.
    """
    import numpy as np
    import torch

    if low > high:
        raise refuse(f"low {low:g} is above high {high:g}", socket="low", mend="swap them")
    dx, dy = steepest(gaussian(image.pixels, blur) if blur else image.pixels)
    found = [_hysteresis(_ridges(x, y), low, high) for x, y in zip(dx.cpu().numpy(), dy.cpu().numpy(), strict=True)]
    return as_image(torch.from_numpy(np.stack(found)).float().to(image.pixels.device))


def _ridges(dx: numpy.ndarray[Any, Any], dy: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """The gradient's size where it is largest across the edge, in the nearest of four directions; 0 elsewhere."""
    import numpy as np

    size = np.hypot(dx, dy)
    around = np.pad(size, 1)
    height, width = size.shape

    def shifted(down: int, across: int) -> numpy.ndarray[Any, Any]:
        found: numpy.ndarray[Any, Any] = around[1 + down : 1 + down + height, 1 + across : 1 + across + width]
        return found

    sector = np.round(np.arctan2(dy, dx) / (np.pi / 4)).astype(int) % 4
    kept: numpy.ndarray[Any, Any] = np.zeros_like(size)
    for index, (down, across) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        # Of two equal neighbours one stays: an edge between two pixels is one line, not two.
        ridge = (size >= shifted(down, across)) & (size > shifted(-down, -across)) & (sector == index)
        kept[ridge] = size[ridge]
    return kept


def _hysteresis(ridges: numpy.ndarray[Any, Any], low: float, high: float) -> numpy.ndarray[Any, Any]:
    """Weak edges stay where they hang together with a strong one."""
    import numpy as np
    from scipy import ndimage

    weak, strong = ridges > max(low, 1e-6), ridges > max(high, 1e-6)
    named, count = ndimage.label(weak, np.ones((3, 3)))
    keep = np.zeros(count + 1, bool)
    keep[np.unique(named[strong])] = True
    keep[0] = False
    kept: numpy.ndarray[Any, Any] = keep[named]
    return kept


def soft(pixels: torch.Tensor, scales: tuple[float, ...] = (1.0, 2.0, 4.0)) -> torch.Tensor:
    """Edge strength [batch, height, width], 0..1: the largest gradient over colours, averaged over scales."""
    import torch

    total = torch.zeros(pixels.shape[:3], device=pixels.device)
    for sigma in scales:
        smooth = gaussian(pixels, sigma)
        sizes = [torch.hypot(*slopes(smooth[..., c : c + 1])) for c in range(pixels.shape[-1])]
        total += torch.stack(sizes).amax(0) * sigma**0.5
    return total / len(scales)


@node(
    "preprocess.soft_edge",
    title="Soft edges",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["HEDPreprocessor", "PiDiNetPreprocessor", "SoftEdge", "hed"],
)
def soft_edge(
    image: Image,
    strength: Annotated[float, Range(0.1, 20, 0.1, soft=(0.5, 8)), Help("How bright the edges are.")] = 3.0,
    detail: Annotated[float, Range(0.3, 16, 0.1, soft=(0.5, 6)), Help("The finest scale, in pixels.")] = 1.0,
) -> Image:
    """Soft edges, strong outlines brighter than texture: the gradient at three scales, each twice as coarse.

    Made without trained weights; ControlNets for HED or PiDiNet edges read it.
    """
    import torch

    edges = soft(image.pixels, (detail, 2 * detail, 4 * detail))
    return as_image(torch.tanh(strength * edges))


@node(
    "preprocess.line",
    title="Line art",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["LineArtPreprocessor", "AnimeLineArtPreprocessor", "LineartStandardPreprocessor", "lineart"],
)
def line(
    image: Image,
    width: Annotated[float, Range(0.3, 16, 0.1, soft=(0.5, 4)), Help("Of a line, about, in pixels.")] = 1.0,
    strength: Annotated[float, Range(1, 200, 0.5, soft=(5, 60)), Help("How hard the lines are.")] = 25.0,
    threshold: Annotated[Level, Help("Fainter lines than this are left out.")] = 0.02,
) -> Image:
    """Drawn lines, white on black: where it is darker than around, by a difference of Gaussians (Winnemöller 2012)."""
    import torch

    grey = luma(image.pixels)
    dark = gaussian(grey, 1.6 * width) - gaussian(grey, width)
    return as_image(torch.tanh(strength * (dark - threshold).clamp(min=0))[..., 0])


@node(
    "preprocess.scribble",
    title="Scribble",
    output="image",
    lane="cpu",
    facts=SAME_SIZE,
    aliases=["FakeScribblePreprocessor", "ScribblePreprocessor", "Scribble_XDoG_Preprocessor"],
)
def scribble(
    image: Image,
    threshold: Annotated[Level, Help("Weaker edges are left out.")] = 0.12,
    width: Annotated[int, Range(1, 32, 1), Help("Of the strokes, in pixels.")] = 4,
    smooth: Annotated[float, Range(0.5, 16, 0.5), Help("Of the edges, in pixels: larger leaves out detail.")] = 3.0,
) -> Image:
    """Thick strokes along the strong outlines, white on black, as if drawn by hand."""
    import numpy as np
    import torch

    from nodes.mask.edit import grown

    dx, dy = slopes(luma(gaussian(image.pixels, smooth)))
    pairs = zip(dx.cpu().numpy(), dy.cpu().numpy(), strict=True)
    thin = [_hysteresis(_ridges(x, y) * smooth, threshold / 2, threshold) for x, y in pairs]
    strokes = torch.from_numpy(np.stack(thin)).float().to(image.pixels.device)
    thick = gaussian(grown(strokes, width // 2)[..., None], max(width / 4, 0.3))[..., 0]
    return as_image((thick > 0.4).float())
