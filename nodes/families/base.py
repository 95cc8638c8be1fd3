"""Base: what every model family can do, and how a module comes out of a file without paying for its random start.

A family is one file beside this one. It knows which folders are its own, how its text becomes an embedding, and how
its denoiser is called; nothing else in Weft asks which model it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine import places
from engine.errors import fail
from engine.memory import has_changed, signature
from nodes.families import attending
from nodes.families.files import Component, component, damaged, is_inside, read_json
from nodes.families.gguf import header as gguf
from nodes.prompt.parse import Prompt
from nodes.types import ControlItem, ControlNet, Denoiser, Entry, LatentSpace, TextEncoder, Weights

if TYPE_CHECKING:
    import torch


TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.json", "merges.txt", "spiece.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)


# Which chunks of the batch of the running forward are of the positive side: for patches that treat the two apart.
SIDES: ContextVar[tuple[bool, ...]] = ContextVar("weft_sides", default=(True,))


class Family(Protocol):
    """One kind of model: how it is recognised, built and called."""

    name: str
    masks_text: bool  # can `predict` leave out tokens (`seen`)? Then texts of several lengths may share a forward

    def owns(self, config: Mapping[str, Any]) -> bool:
        """Is a denoiser of this configuration one of the family?"""

    def denoiser(self, found: Component, space: LatentSpace, training: Mapping[str, Any]) -> Denoiser:
        """The recipe of a denoiser's folder; raises `model.format` when configuration and tensors disagree."""

    def text_encoder(self, folders: Mapping[str, Path], config: Mapping[str, Any]) -> TextEncoder:
        """The recipe of the encoders (`text_encoder`, `tokenizer`, ...) for a denoiser of this configuration."""

    def build_denoiser(self, recipe: Denoiser, device: str, dtype: str) -> Any:
        """The bare module on the device."""

    def build_text_encoder(self, recipe: TextEncoder, device: str, dtype: str) -> Any:
        """The encoders as one `ModuleDict` by component name, with their tokenizers in its `.tokenizers`."""

    def build_controlnet(self, recipe: ControlNet, device: str, dtype: str) -> Any:
        """The bare ControlNet on the device."""

    def attach(self, recipe: Denoiser, module: Any) -> Callable[[], None]:
        """Set adapters, attention and patches to the recipe; returns what undoes them."""

    def attach_text(self, recipe: TextEncoder, module: Any) -> Callable[[], None]:
        """Set adapters to the recipe; returns what undoes them."""

    def encode(
        self, encoders: Any, recipe: TextEncoder, text: Prompt, skip: int, check: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """A prompt as (embedding [1, tokens, width], pooled [1, width] or None); `check` is called between chunks."""

    def predict(
        self,
        module: Any,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor | None,
        residuals: Any = None,
        scale: float = 1.0,
        sizes: torch.Tensor | None = None,
        seen: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One forward: what the model predicts for x [batch, channel, h, w] at timestep t.

        `scale` is the guidance scale for models that take it as an input, because guidance was distilled into them;
        `sizes` [batch, numbers] what `sizes` below gave; `seen` [batch, tokens] which tokens of the text are real, only
        where `masks_text`.
        """

    def sizes(self, module: Any, entry: Entry, width: int, height: int) -> tuple[float, ...]:
        """The numbers about its size that the model is told of a picture of width x height pixels; most take none."""

    def control(
        self,
        net: Any,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor | None,
        hint: torch.Tensor,
        strength: float,
        sizes: torch.Tensor | None = None,
        item: ControlItem | None = None,
    ) -> Any:
        """One ControlNet's residuals for `predict`; hint is [batch, 3, height, width], 0..1, or latents for DiTs.

        `item` says what else is told of its use: mode, guess.
        """

    def add_residuals(self, first: Any, second: Any) -> Any:
        """The sum of two ControlNets' residuals."""

    def working_bytes(self, recipe: Denoiser, batch: int, height: int, width: int, item: int) -> int:
        """Activations of one forward, roughly: `batch` latents of height x width cells, `item` bytes a number."""


# --- from folders to recipes -----------------------------------------------------------------------------------------


def tokenizer_weights(folder: Path, name: str) -> Weights:
    """A tokenizer's folder as a part of a recipe. Looked at first: transformers' own error without one misleads.

    One for a checkpoint of a single file is looked for elsewhere, and told how to pad (its variant).
    """
    pad = ""
    if is_inside(folder):
        from nodes.families import single_file

        folder, pad = single_file.tokenizer(folder)
    there = [file for file in TOKENIZER_FILES if (folder / file).is_file()]
    usable = (
        {"tokenizer.json"} & set(there) or {"spiece.model"} & set(there) or {"vocab.json", "merges.txt"} <= set(there)
    )
    if not usable:
        raise fail(
            "model.format",
            f"the model has no tokenizer: {folder} lacks tokenizer.json (or vocab.json and merges.txt)",
            mend="copy the whole model folder, tokenizer included",
            file=str(folder),
        )
    identity = "".join(f"{file}:{places.file_id(folder / file)};" for file in there)
    return Weights(hashlib.blake2b((identity + pad).encode(), digest_size=16).hexdigest(), name, str(folder), pad)


def tokenizer_length(folder: Path, most: int) -> int:
    """How many tokens the tokenizer cuts a text to, and never more than the encoder has positions."""
    path = folder / "tokenizer_config.json"
    length = read_json(path).get("model_max_length") if path.is_file() else None
    return min(int(length), most) if isinstance(length, int | float) and length > 2 else most


# --- from recipes to modules -----------------------------------------------------------------------------------------


def torch_dtype(name: str) -> torch.dtype:
    """`float16` as torch's object."""
    import torch

    found: torch.dtype = getattr(torch, name)
    return found


def unchanged(weights: Weights) -> Component:
    """The files of a recipe, which must still be those that it was made from."""
    found = component(Path(weights.path))
    if found.weights(weights.component).id != weights.id:
        raise fail(
            "model.changed",
            f"{found.folder.name} is no longer what it was when this job was planned: somebody replaced its files",
            mend="run the workflow again: it will use the new ones",
            file=str(found.folder),
        )
    return found


def assemble(
    make: Callable[[], torch.nn.Module],
    found: Component,
    device: str,
    dtype: str,
    rename: Callable[[torch.nn.Module, dict[str, torch.Tensor]], None] | None = None,
    tied: Sequence[str] = (),
) -> Any:
    """A module with the weights of its files: built without storage, then given mapped tensors one by one.

    Only `torch.empty` goes to the meta device while the module is made, so its parameters cost nothing and the small
    tables that no file holds (position ids, sinusoids) are real. Weights that are in `dtype` already stay mapped from
    the file on the CPU.
    """
    with unmade():
        module = make()
    wanted = torch_dtype(dtype)
    state: dict[str, torch.Tensor] = {}
    mapped = tuple((str(file), signature(str(file))) for file in found.files)
    for file in found.files:
        state.update(_tensors(file, found, device, wanted))
    found.convert(module, state)
    if rename is not None:
        rename(module, state)
    packed: set[str] = set()
    if any(file.suffix.lower() == gguf.ENDING for file in found.files):
        from nodes.families.gguf import layers

        packed = layers.place(module, state, wanted, found.files[0])
    try:
        missing, _ = module.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as error:
        raise damaged(found.folder / "config.json", f"the weights have other shapes ({_last_line(error)})") from None
    lost = [key for key in missing if key not in tied and key not in packed]
    if lost:
        raise fail(
            "model.format",
            f"the weights in {found.folder.name} lack {len(lost)} tensors of the configuration, first '{lost[0]}'",
            mend="use the weights and the config.json of one and the same model",
            file=str(found.folder),
        )
    module.to(device=device)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.to(wanted)
    module.mapped_files = mapped  # type: ignore[assignment]
    if packed:
        module.computes_in = wanted  # type: ignore[assignment]
    return module.eval().requires_grad_(False)


def _tensors(file: Path, found: Component, device: str, wanted: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of those of the component's in a file: numbers in the wanted dtype, on the device."""
    if file.suffix.lower() == gguf.ENDING:
        from nodes.families.gguf import layers

        yield from layers.tensors(file, found.holds, found.packs, device, wanted)
        return
    from safetensors import safe_open

    try:
        with safe_open(str(file), framework="pt") as stream:
            for key in filter(found.holds, stream.keys()):
                tensor = stream.get_tensor(key)
                yield key, tensor.to(device, wanted if tensor.is_floating_point() else tensor.dtype)
    except FileNotFoundError:
        raise fail("model.missing", f"{file} is gone", mend="put it back, or run the workflow again") from None


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()[:160]


def unmade() -> Any:
    """A context in which parameters are made without storage. Of this thread only, unlike patches of torch.nn.init."""
    import torch
    from torch.overrides import TorchFunctionMode

    empty = torch.empty

    class Unmade(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is empty:
                return func(*args, **{**(kwargs or {}), "device": "meta"})
            if kwargs and "tensor" in kwargs and func.__module__ == "torch.nn.init" and kwargs["tensor"].is_meta:
                return kwargs["tensor"]  # first values of what has no storage: there is nothing to fill
            return func(*args, **(kwargs or {}))

    return Unmade()


def load(weights: Weights, make: Callable[[Mapping[str, Any]], torch.nn.Module], device: str, dtype: str) -> Any:
    """A diffusers module from its component's folder, old names of attention weights included."""
    found = unchanged(weights)

    def rename(module: Any, state: dict[str, torch.Tensor]) -> None:
        module._fix_state_dict_keys_on_load(state)

    return attending.remember(assemble(lambda: make(found.config), found, device, dtype, rename))


# --- what is attached ------------------------------------------------------------------------------------------------


def attach(recipe: Denoiser, module: Any) -> Callable[[], None]:
    """Adapters, attention backend and patches, in this order; undone in the reverse order, also when one fails."""
    undo: list[Callable[[], None]] = []

    def back() -> None:
        while undo:
            undo.pop()()
        if recipe.patches:  # some bring weights of their own
            has_changed(module)

    try:
        undo.append(attach_adapters(module, recipe))
        backend = dict(recipe.numerics).get("attention")
        if backend is not None:
            module.set_attention_backend(backend)
            undo.append(module.reset_attention_backend)
        for patch in recipe.patches:
            undo.append(patch.attach(module, recipe))  # noqa: PERF401 - those before a failing one must be undone
        if recipe.patches:
            has_changed(module)
    except BaseException:
        back()
        raise
    return back


def attach_adapters(module: Any, recipe: Denoiser | TextEncoder) -> Callable[[], None]:
    """The recipe's LoRAs on the module; without any there is nothing to do, since each use undoes its own."""
    if not recipe.adapters:
        return lambda: None
    from nodes.families.adapters import attach_adapters

    undo: Callable[[], None] = attach_adapters(module, recipe)
    return undo
