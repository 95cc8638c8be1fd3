"""Adapters: LoRAs set on a live module exactly as a recipe says, and taken off again.

Files are converted by diffusers (kohya's and its own older names) and held by peft: each changed layer becomes
`base(x) + strength · alpha / rank · up(down(x))` (Hu et al. 2021, eq. 3). After use the adapters stay on the module,
switched off – its output is then the base's, bit for bit – so that the next step with the same recipe pays nothing;
a recipe with others removes them. Only the thread that leases a module may call this; the lease is the lock.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import fail
from engine.memory import has_changed
from nodes.families.files import read_json
from nodes.families.layer_names import block_step, plain_name, share
from nodes.families.lora_file import DENOISER, beside, check_matched, lora_path, mismatch, split
from nodes.types import Adapter, Denoiser, Lora, TextEncoder

PREFIX = "weft_"
CONFIG_KEYS = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "use_dora", "lora_bias")

State = dict[str, Any]
_FIRST_CODE = re.compile(
    r"^(?:diffusion_model\.|transformer\.)?(?P<layer>(?:double|single)_blocks\.\d+\.(?!processor)[\w.]+?)"
    r"\.(?P<end>lora_A|lora_B|lora_down|lora_up|alpha)(?P<rest>.*)$"
)


def attach_adapters(module: Any, recipe: Denoiser | TextEncoder) -> Callable[[], None]:
    """Set the module's adapters to the recipe's; returns what switches them off.

    `module` is a UNet or transformer, or a `ModuleDict` of text encoders by component name. Raises `facts.mismatch` for
    a file less than half of whose layers are the module's, `model.format` for one that cannot be read.
    """
    wanted = strengths(recipe.adapters)
    parts = {DENOISER: module} if isinstance(recipe, Denoiser) else dict(module.items())
    held = {lora: shares for lora, shares in wanted.items() if not lora.dense}
    dense = {lora: shares for lora, shares in wanted.items() if lora.dense}
    undone: list[Callable[[], None]] = []

    def undo() -> None:
        while undone:
            undone.pop()()
        for part in parts.values():
            _activate(part, {})

    try:
        for of, part in parts.items():
            # One that rests in this step stays, off; the next recipe that does not name it takes it away.
            keep = {adapter_name(one.lora) for one in recipe.adapters}
            before = loaded(part)
            _keep_only(part, keep if keep else before)
            there = loaded(part)
            for lora in held:
                if adapter_name(lora) not in there:
                    _load(lora, of, part)
            if loaded(part) != before:
                has_changed(module)
            _activate(part, {adapter_name(lora): shares for lora, shares in held.items()})
            if dense:
                from nodes.families import lycoris

                for lora in dense:
                    _check_dense(lora, of, part)
                undone.append(lycoris.attach(part, of, dense))
                undone.append(lambda: has_changed(module))
                has_changed(module)
    except BaseException:
        while undone:
            undone.pop()()
        for part in parts.values():
            _keep_only(part, set())
        raise
    return undo


Shares = dict[tuple[tuple[str, float], ...], float]
"""Shares by block -> strength: one LoRA may be on a model twice, with other shares."""


def strengths(adapters: tuple[Adapter, ...]) -> dict[Lora, Shares]:
    """Each LoRA once, in the order of first use, with the sums of its strengths; what sums to 0 is left out."""
    total: dict[Lora, Shares] = {}
    for adapter in adapters:
        shares = total.setdefault(adapter.lora, {})
        shares[adapter.blocks] = shares.get(adapter.blocks, 0.0) + adapter.strength
    acting = {
        lora: {blocks: strength for blocks, strength in shares.items() if strength != 0.0}
        for lora, shares in total.items()
    }
    return {lora: shares for lora, shares in acting.items() if shares}


def _check_dense(lora: Lora, of: str, part: Any) -> None:
    """Raise `facts.mismatch` when less than half of the file's layers for this component are the module's."""
    from nodes.families import lycoris

    mine = list(lycoris.read(Path(lora.weights.path), of))
    there = lycoris.names(part)
    check_matched(Path(lora.weights.path).name, mine, [layer for layer in mine if layer not in there])


def adapter_name(lora: Lora) -> str:
    """What peft calls it on the module: named by content, so the same file is loaded once."""
    return PREFIX + lora.weights.id[:24]


def loaded(part: Any) -> set[str]:
    """The adapters of ours on a module, on or off."""
    return {name for name in getattr(part, "peft_config", {}) if name.startswith(PREFIX)}


# --- on the module ---------------------------------------------------------------------------------------------------


def _tuned(part: Any) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return ((name, layer) for name, layer in part.named_modules() if isinstance(layer, BaseTunerLayer))


def _activate(part: Any, wanted: Mapping[str, Shares]) -> None:
    """Switch exactly these adapters on, at these strengths and in this order; the others off."""
    there = loaded(part)
    if not there:
        return  # a module that never had one pays nothing, not even peft's import
    names = [name for name in wanted if name in there]
    step, flux = block_step(part), hasattr(part, "single_transformer_blocks")
    for place, layer in _tuned(part):
        scales = {
            name: sum(strength * share(place, dict(blocks), step, flux) for blocks, strength in wanted[name].items())
            for name in names
        }
        acting = [name for name in names if scales[name] != 0]
        layer.enable_adapters(bool(acting))
        if acting:
            layer.set_adapter(acting)
            for name in acting:
                layer.set_scale(name, scales[name])
        layer.requires_grad_(False)  # set_adapter turns gradients on


def _keep_only(part: Any, names: set[str]) -> None:
    """Remove every other adapter; without any left, the plain layers are put back in the wrappers' place."""
    gone = loaded(part) - names
    if not gone:
        return
    if gone == loaded(part):
        from diffusers.utils.peft_utils import recurse_remove_peft_layers

        recurse_remove_peft_layers(part)
        del part.peft_config
        part._hf_peft_config_loaded = False
        return
    for _, layer in _tuned(part):
        for name in gone:
            layer.delete_adapter(name)
    for name in gone:
        del part.peft_config[name]


def _load(lora: Lora, of: str, part: Any) -> None:
    """Read the file and put its layers for this component on the module, switched on at strength 1."""
    from diffusers.loaders.lora_pipeline import SD3LoraLoaderMixin, StableDiffusionLoraLoaderMixin

    state, alphas, metadata = converted(lora, part)
    state = matched(lora, of, part, state)
    if not state:
        return
    name, quick = adapter_name(lora), {"low_cpu_mem_usage": True}  # no random start for what the file fills
    first = next(iter(state))
    with _quiet():
        if of != DENOISER:
            StableDiffusionLoraLoaderMixin.load_lora_into_text_encoder(
                state, alphas, part, prefix=of, adapter_name=name, metadata=metadata, **quick
            )
        elif first.startswith("transformer."):
            SD3LoraLoaderMixin.load_lora_into_transformer(state, part, adapter_name=name, metadata=metadata, **quick)
        else:
            StableDiffusionLoraLoaderMixin.load_lora_into_unet(
                state, alphas, part, adapter_name=name, metadata=metadata, **quick
            )
    if name not in loaded(part):
        raise mismatch(f"diffusers cannot translate the names in {Path(lora.weights.path).name}, such as '{first}'")
    part.eval()


# --- from the file ---------------------------------------------------------------------------------------------------


def converted(lora: Lora, part: Any) -> tuple[State, State | None, State | None]:
    """A file's tensors under diffusers' names, with either kohya's alphas or the metadata of diffusers or peft."""
    import safetensors.torch
    from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin, StableDiffusionLoraLoaderMixin
    from safetensors import SafetensorError, safe_open

    folder = Path(lora.weights.path)
    path = lora_path(folder)
    try:
        state = safetensors.torch.load_file(path)
        with safe_open(path, framework="pt") as stream:
            note = (stream.metadata() or {}).get("lora_adapter_metadata")
    except FileNotFoundError:
        raise fail("model.missing", f"{path.name} is gone", mend="put it back, or choose another LoRA") from None
    except (OSError, SafetensorError) as error:
        raise fail("model.format", f"{path.name} cannot be read: {error}", mend="download it again") from None
    prefix = "transformer" if type(part).__name__.endswith("Transformer2DModel") else "unet"
    state = {_prefixed(key, prefix): tensor for key, tensor in state.items() if split(key) or beside(key)}
    config = part.config if prefix == "unet" and hasattr(part.config, "layers_per_block") else None
    with _quiet():
        if type(part).__name__ == "FluxTransformer2DModel":
            state, alphas = FluxLoraLoaderMixin.lora_state_dict(state, return_alphas=True)
        else:
            state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(state, unet_config=config)
    alphas = alphas or {key: float(state.pop(key)) for key in list(state) if key.endswith(".alpha")}
    if alphas:
        return state, alphas, None
    return state, None, _metadata(folder, note, prefix)


def _prefixed(key: str, prefix: str) -> str:
    """The bare names of peft and `save_lora_adapter` with the component in front; the other names as they are."""
    key = key.removeprefix("base_model.model.")
    if ".processor." in key and "blocks." in key and not key.startswith(("unet.", "transformer.", "down", "up", "mid")):
        return key  # XLabs', which diffusers knows as they are
    if (first := _FIRST_CODE.match(key)) is not None:  # Flux' own names: as kohya has them, which diffusers splits
        layer = first["layer"].replace(".", "_")
        end = {"lora_A": "lora_down", "lora_B": "lora_up"}.get(first["end"], first["end"])
        return f"lora_unet_{layer}.{end}{first['rest']}"
    found = split(key) or beside(key)
    if found is None or key.startswith(("unet.", "transformer.", "text_encoder", "lora_")):
        return key
    return f"{prefix if found[0] == DENOISER else found[0]}.{key}"


def _metadata(folder: Path, note: str | None, prefix: str) -> State | None:
    """What diffusers wrote into the file, or peft beside it: rank and alpha by layer."""
    if note:
        try:
            told = dict(json.loads(note))
        except ValueError:
            return None
        # `save_lora_adapter` of a lone module names no component, a pipeline's `save_lora_weights` does.
        return {f"{prefix}.{key}": value for key, value in told.items()} if "r" in told else told
    beside = folder / "adapter_config.json"
    if not (folder.is_dir() and beside.is_file()):
        return None
    return {f"{prefix}.{key}": value for key, value in read_json(beside).items() if key in CONFIG_KEYS}


def matched(lora: Lora, of: str, part: Any, state: State) -> State:
    """The tensors whose layer the module has; raises `facts.mismatch` when they are less than half."""
    there = {plain_name(name) for name, _ in part.named_modules()}
    mine = {found[1]: plain_name(found[1]) in there for key in state if (found := split(key)) and found[0] == of}
    if mine:
        check_matched(Path(lora.weights.path).name, list(mine), [name for name, fits in mine.items() if not fits])
    kept: State = {}
    for key, tensor in state.items():
        its = split(key) or beside(key)
        if its is not None and its[0] == of and mine.get(its[1]):
            kept[key] = tensor
    return kept


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence: diffusers warns of keys that the caller has already judged."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
