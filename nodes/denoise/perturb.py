"""Perturb: the model made worse on purpose for one more prediction, from which guidance moves away.

    attention   self-attention sees only itself: softmax(QK) becomes the identity (PAG, Ahn et al. 2024, 2403.17377)
    energy      self-attention's queries are blurred over the picture (SEG, Hong 2024, 2408.00760)
    layers      whole transformer blocks are left out (SLG, as Stability AI published it with SD 3.5)

Blocks are counted in the order in which the model goes through them; Flux's single blocks are not counted. Each change
is put on for one forward and taken off exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from engine.errors import refuse
from nodes.types import Perturbation

if TYPE_CHECKING:
    import torch

KINDS: Mapping[str, str] = {"attention": "PAG", "energy": "SEG", "layers": "skip layers"}
BLOCKS = ("BasicTransformerBlock", "JointTransformerBlock", "FluxTransformerBlock")


def blocks(module: Any) -> list[Any]:
    """The transformer blocks of a UNet or DiT, in the order of its forward: down, middle, up."""
    parts = [module.down_blocks, module.mid_block, module.up_blocks] if hasattr(module, "down_blocks") else [module]
    return [found for part in parts if part is not None for found in part.modules() if type(found).__name__ in BLOCKS]


def middle(module: Any) -> list[int]:
    """Which blocks are changed unless they are named: those of a UNet's middle, or the middle third."""
    every = blocks(module)
    inner = [] if getattr(module, "mid_block", None) is None else [id(one) for one in module.mid_block.modules()]
    found = [index for index, block in enumerate(every) if id(block) in inner]
    third = len(every) / 3
    return found or list(range(math.floor(third), max(math.ceil(2 * third), math.floor(third) + 1)))


@contextmanager
def perturbed(module: Any, perturbation: Perturbation, height: int, width: int) -> Iterator[None]:
    """While it lasts the module is worse: `height` x `width` are the latents' cells."""
    every = blocks(module)
    chosen: Sequence[int] = perturbation.layers or middle(module)
    wrong = [index for index in chosen if index >= len(every)]
    if wrong or not every:
        raise refuse(
            f"the model has no transformer block {wrong[0] if wrong else 0}: there are {len(every)}, counted from 0",
            socket="guidance",
            mend=f"name blocks from 0 to {max(len(every) - 1, 0)}, or none for those in the middle",
        )
    with ExitStack() as stack:
        for index in chosen:
            if perturbation.kind == "layers":
                stack.callback(every[index].register_forward_hook(_left_out, with_kwargs=True).remove)
            elif perturbation.kind == "energy":
                query = _attention(every[index]).to_q
                blur = _blur(perturbation.blur, height, width)
                stack.callback(query.register_forward_hook(blur).remove)
            else:
                stack.enter_context(_identity(_attention(every[index])))
        yield


def _attention(block: Any) -> Any:
    """The block's self-attention: of UNets `attn1`, of DiTs `attn`, over picture and text together."""
    return block.attn1 if hasattr(block, "attn1") else block.attn


def _left_out(block: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> Any:
    """What comes in goes out: the block's residuals are left out."""
    hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
    if not isinstance(out, tuple):
        return hidden
    # Both kinds of DiT give text and picture, in this order; the last block of SD 3 has done with the text.
    text = kwargs["encoder_hidden_states"] if "encoder_hidden_states" in kwargs else args[1]
    return (None if out[0] is None else text, hidden)


@contextmanager
def _identity(attention: Any) -> Iterator[None]:
    """The picture's places see only themselves; text, where it takes part, is attended to as ever."""
    from torch.overrides import TorchFunctionMode

    class Itself(TorchFunctionMode):
        """Replaces scaled dot product attention; `text` tokens stand before or after the picture's."""

        def __init__(self, text: int, first: bool) -> None:
            super().__init__()
            self.text, self.first = text, first

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            import torch

            given = dict(kwargs or {})
            out = func(*args, **given)
            if func is not torch.nn.functional.scaled_dot_product_attention:
                return out
            value = given["value"] if "value" in given else args[2]  # (batch, head, tokens, width)
            state["seen"] = True
            if not self.text:
                return value
            at = slice(self.text, None) if self.first else slice(None, value.shape[2] - self.text)
            made = out.clone()
            made[:, :, at] = value[:, :, at]
            return made

    state: dict[str, Any] = {"seen": False}

    def before(module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        text = kwargs.get("encoder_hidden_states")
        tokens = 0 if text is None else int(text.shape[1])
        state["mode"] = Itself(tokens, type(module).__name__ == "FluxAttention")  # Flux puts the text first
        state["mode"].__enter__()

    def after(module: Any, args: Any, out: Any) -> None:
        state.pop("mode").__exit__(None, None, None)

    hooks = [
        attention.register_forward_pre_hook(before, with_kwargs=True),
        attention.register_forward_hook(after, always_call=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if not state["seen"]:
        raise refuse(
            "the attention backend computes out of this guidance's reach",
            socket="guidance",
            mend="use the attention backend 'native' for this model",
        )


def _blur(sigma: float, height: int, width: int) -> Any:
    """A hook that blurs queries [batch, tokens, width] over the picture; 0 stands for without bounds: their mean."""

    def hook(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
        import torch

        batch, tokens, channels = out.shape
        rows = max(round(math.sqrt(tokens * height / width)), 1)
        if sigma <= 0 or tokens % rows:
            return out.mean(dim=1, keepdim=True).expand_as(out)
        columns = tokens // rows
        reach = min(math.ceil(3 * sigma), max(rows, columns))
        places = torch.arange(-reach, reach + 1, device=out.device, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (places / sigma) ** 2)
        kernel = (kernel / kernel.sum()).to(out)
        grid = out.transpose(1, 2).reshape(batch * channels, 1, rows, columns)
        grid = torch.nn.functional.pad(grid, (reach, reach, reach, reach), mode="replicate")
        grid = torch.nn.functional.conv2d(grid, kernel[None, None, None, :])
        grid = torch.nn.functional.conv2d(grid, kernel[None, None, :, None])
        return grid.reshape(batch, channels, tokens).transpose(1, 2)

    return hook
