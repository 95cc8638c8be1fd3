"""Networks: RRDB (ESRGAN, Real-ESRGAN) and the compact one of Real-ESRGAN, in plain torch, from their papers.

Both take [batch, 3, height, width], 0..1, and give [batch, 3, scale * height, scale * width]. The names of their
parameters are those of the files that are shared today; `nodes.upscale.files` brings older files to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def rrdb(features: int, growth: int, blocks: int, doublings: int, shuffle: int) -> torch.nn.Module:
    """Residual in residual dense blocks, without normalisation (Wang et al. 2018, 1809.00219, section 3.1).

    `doublings` of the size at the end; with `shuffle` r the picture first goes in as r x r times as many channels at a
    size r times smaller (Wang et al. 2021, 2107.10833, section 3.3), so that x2 and x1 cost what x4 costs.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    def conv(before: int, after: int) -> nn.Conv2d:
        return nn.Conv2d(before, after, 3, 1, 1)

    def lrelu(x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(x, 0.2)

    class DenseBlock(nn.Module):
        """Five convolutions, each of which sees what all before it gave."""

        def __init__(self) -> None:
            super().__init__()
            for index in range(1, 6):
                after = growth if index < 5 else features
                self.add_module(f"conv{index}", conv(features + (index - 1) * growth, after))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = [x]
            for index in range(1, 5):
                seen.append(lrelu(self.get_submodule(f"conv{index}")(torch.cat(seen, 1))))
            out: torch.Tensor = self.get_submodule("conv5")(torch.cat(seen, 1))
            return x + 0.2 * out

    class Block(nn.Module):
        """Three dense blocks in a row, their sum scaled by 0.2 and added to what came in."""

        def __init__(self) -> None:
            super().__init__()
            self.rdb1, self.rdb2, self.rdb3 = DenseBlock(), DenseBlock(), DenseBlock()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
            return x + 0.2 * out

    class RRDB(nn.Module):
        """The generator of ESRGAN."""

        def __init__(self) -> None:
            super().__init__()
            self.conv_first = conv(3 * shuffle**2, features)
            self.body = nn.Sequential(*(Block() for _ in range(blocks)))
            self.conv_body = conv(features, features)
            for index in range(1, doublings + 1):
                self.add_module(f"conv_up{index}", conv(features, features))
            self.conv_hr, self.conv_last = conv(features, features), conv(features, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            height, width = x.shape[-2:]
            if shuffle > 1:
                x = F.pad(x, (0, -width % shuffle, 0, -height % shuffle), mode="replicate")
                x = F.pixel_unshuffle(x, shuffle)  # (B, 3 r r, H / r, W / r)
            x = self.conv_first(x)
            x = x + self.conv_body(self.body(x))
            for index in range(1, doublings + 1):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
                x = lrelu(self.get_submodule(f"conv_up{index}")(x))
            out: torch.Tensor = self.conv_last(lrelu(self.conv_hr(x)))
            scale = 2**doublings // shuffle
            return out[..., : height * scale, : width * scale]

    return RRDB()


def compact(features: int, blocks: int, scale: int) -> torch.nn.Module:
    """A row of convolutions at the small size, one pixel shuffle at the end, over a nearest-neighbour enlargement.

    The small models of Real-ESRGAN (`realesr-general`, `realesr-animevideo`): SRVGG, after Simonyan & Zisserman 2014.
    """
    import torch.nn.functional as F
    from torch import nn

    class Compact(nn.Module):
        """Convolutions with a learnt leaky rectifier each, then the pixel shuffle (Shi et al. 2016)."""

        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for index in range(blocks + 1):
                layers += [nn.Conv2d(features if index else 3, features, 3, 1, 1), nn.PReLU(features)]
            self.body = nn.ModuleList([*layers, nn.Conv2d(features, 3 * scale**2, 3, 1, 1)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = x
            for layer in self.body:
                out = layer(out)
            return F.pixel_shuffle(out, scale) + F.interpolate(x, scale_factor=scale, mode="nearest")

    return Compact()
