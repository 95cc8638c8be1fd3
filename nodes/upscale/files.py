"""Files: which upscaler a file or folder is, from its header alone, and how it becomes a module."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import places
from engine.errors import WeftError, fail
from nodes.families.files import component, read_header, read_json
from nodes.types import Upscaler, Weights, plain
from nodes.upscale import networks

if TYPE_CHECKING:
    import torch

WRAPPED = ("params_ema.", "params.", "module.", "state_dict.", "generator.")
KNOWN = "ESRGAN and Real-ESRGAN (RRDB, compact) files, and Swin2SR folders"


def recipe(path: Path) -> Upscaler:
    """The recipe of an upscaler; raises `model.format` and `model.family`."""
    if path.is_dir():
        return _swin2sr(path)
    if path.suffix.lower() in places.PICKLED:
        raise fail(
            "model.format",
            f"{path.name} is pickled and could run any program when opened",
            mend=f"weft models convert {path.name} makes a .safetensors of it",
            file=str(path),
        )
    table = {key: shape for key, (_, shape) in _unwrapped(read_header(path)).items()}
    base = Weights(places.file_id(path), "upscaler", str(path))
    found = _rrdb(table, base) or _compact(table, base)
    if found is not None:
        return found
    if importlib.util.find_spec("spandrel") is not None:
        return Upscaler(base, "spandrel")
    raise fail(
        "model.family",
        f"{path.name} is no upscaler that is known here (its first tensor is '{next(iter(table), 'none')}')",
        mend=f"known are {KNOWN}; with `pip install spandrel` many more",
        file=str(path),
    )


def _unwrapped(table: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors without what a training script put around them; of two sets the averaged one."""
    for start in WRAPPED:
        inner = {key.removeprefix(start): value for key, value in table.items() if key.startswith(start)}
        if inner:
            return _unwrapped(inner)
    return dict(table)


_RENAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(old), new)
    for old, new in (
        # 2018, as one long Sequential; the numbers after 1 depend on how often the size is doubled.
        (r"model\.0\.", "conv_first."),
        (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
        (r"model\.1\.sub\.\d+\.", "conv_body."),
        # 2019, with names.
        (r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
        (r"trunk_conv\.", "conv_body."),
        (r"upconv(\d)\.", r"conv_up\1."),
        (r"HRconv\.", "conv_hr."),
    )
)


def rename(key: str) -> str:
    """A tensor's name as today's files have it."""
    for old, new in _RENAMES:
        found, count = old.subn(new, key, count=1) if old.match(key) else (key, 0)
        if count:
            return found
    return key


def _tail(keys: Mapping[str, Any]) -> dict[str, str]:
    """What the last layers of the long Sequential are called today: doublings, then `conv_hr` and `conv_last`."""
    numbers = sorted({int(match[1]) for key in keys if (match := re.match(r"model\.(\d+)\.weight", key))} - {0})
    if len(numbers) < 2:
        return {}
    names = [*(f"conv_up{index}" for index in range(1, len(numbers) - 1)), "conv_hr", "conv_last"]
    return {f"model.{number}.": f"{name}." for number, name in zip(numbers, names, strict=True)}


def _named(state: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors (or shapes) of any of the layouts under today's names."""
    tail = _tail(state)
    found = {}
    for key, value in state.items():
        start = next((old for old in tail if key.startswith(old)), "")
        found[tail[start] + key.removeprefix(start) if start else rename(key)] = value
    return found


def _rrdb(table: Mapping[str, tuple[int, ...]], base: Weights) -> Upscaler | None:
    table = _named(table)
    first, dense, last = (table.get(f"{name}.weight") for name in ("conv_first", "body.0.rdb1.conv1", "conv_last"))
    if not (first and dense and last):
        return None
    blocks = 1 + max(int(match[1]) for key in table if (match := re.match(r"body\.(\d+)\.", key)))
    doublings = sum(1 for key in table if re.fullmatch(r"conv_up\d\.weight", key))
    shuffle = {3: 1, 12: 2, 48: 4}.get(first[1], 0)
    if last[0] != 3 or not shuffle or any("conv1x1" in key for key in table):
        raise _other(base, f"it takes {first[1]} channels and gives {last[0]}")
    config = {
        "features": first[0],
        "growth": dense[0],
        "blocks": blocks,
        "doublings": doublings,
        "shuffle": shuffle,
    }
    return Upscaler(base, "rrdb", max(1, 2**doublings // shuffle), plain(config))


def _compact(table: Mapping[str, tuple[int, ...]], base: Weights) -> Upscaler | None:
    numbers = {int(match[1]) for key in table if (match := re.fullmatch(r"body\.(\d+)\.weight", key))}
    if not numbers or len(table.get("body.0.weight", ())) != 4:
        return None
    features, before = table["body.0.weight"][:2]
    after = table[f"body.{max(numbers)}.weight"][0]
    scale = round((after / 3) ** 0.5)
    if before != 3 or 3 * scale**2 != after:
        raise _other(base, f"it takes {before} channels and gives {after}")
    return Upscaler(base, "compact", scale, plain({"features": features, "blocks": max(numbers) // 2 - 1}))


def _other(base: Weights, why: str) -> WeftError:
    return fail(
        "model.family",
        f"{Path(base.path).name} looks like an upscaler but is not one for RGB pictures: {why}",
        mend=f"known are {KNOWN}",
        file=base.path,
    )


def _swin2sr(folder: Path) -> Upscaler:
    config = read_json(folder / "config.json")
    if config.get("model_type") != "swin2sr":
        raise fail(
            "model.family",
            f"{folder.name} is a {config.get('model_type') or 'model of an unknown kind'}, no upscaler",
            mend=f"known are {KNOWN}",
            file=str(folder),
        )
    found = component(folder)
    return Upscaler(found.weights("upscaler"), "swin2sr", int(config.get("upscale", 2)), plain({"features": 180}))


# --- from recipes to modules -----------------------------------------------------------------------------------------


def build(recipe: Upscaler, device: str, dtype: str) -> Any:
    """The network on the device, ready to be called with [batch, 3, height, width]."""
    import torch

    from nodes.families.base import assemble

    path, config = Path(recipe.base.path), dict(recipe.config)
    if recipe.architecture == "swin2sr":
        from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

        found = component(path)
        make = lambda: Swin2SRForImageSuperResolution(Swin2SRConfig.from_dict(dict(found.config)))  # noqa: E731
        module = assemble(make, found, device, dtype)
        return _called(module, lambda net, x: net(pixel_values=x).reconstruction)
    state = _state(path)
    wanted = getattr(torch, dtype)
    if recipe.architecture == "spandrel":
        spandrel = importlib.import_module("spandrel")
        loaded = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
        if not isinstance(loaded, spandrel.ImageModelDescriptor):
            raise fail("model.family", f"{path.name} is no upscaler: spandrel says {type(loaded).__name__}")
        return loaded.to(device=torch.device(device), dtype=wanted).eval()
    kinds: Mapping[str, Callable[..., torch.nn.Module]] = {"rrdb": networks.rrdb, "compact": networks.compact}
    if recipe.architecture == "compact":
        config["scale"] = recipe.scale
    with torch.device("meta"):
        network = kinds[recipe.architecture](**config)
    tensors = {key: tensor.to(device, wanted) for key, tensor in _named(_unwrapped(state)).items()}
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1].strip()[:160]
        raise fail("model.format", f"{path.name} is incomplete: {why}", mend="download it again") from None
    return network.eval().requires_grad_(False)


def _state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise fail("model.missing", f"{path} is gone", mend="put it back, or run the workflow again") from None


def _called(module: Any, call: Callable[[Any, torch.Tensor], torch.Tensor]) -> Any:
    """The module as one that takes a picture and gives one."""
    import torch

    class Called(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return call(self.inner, x)

    return Called().eval()
