"""Split: text encoders that lie in files or folders of their own, put together to those of one model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import fail
from nodes.families import family_of, single_file
from nodes.families.files import component, is_inside
from nodes.families.single_file.kinds import ABOUT, ENCODERS
from nodes.types import TextEncoder

# What a set of encoders is for, where nothing is said. Stable Diffusion 3 takes any of its three.
AUTO = {
    frozenset({"clip_l"}): "sd1",
    frozenset({"clip_h"}): "sd2",
    frozenset({"clip_g"}): "sdxl-refiner",
    frozenset({"clip_l", "clip_g"}): "sdxl",
    frozenset({"clip_l", "t5"}): "flux",
    frozenset({"clip_g", "t5"}): "sd3",
    frozenset({"clip_l", "clip_g", "t5"}): "sd3",
}
CLIP_WIDTHS = {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}
T5_WIDTH, SD3_POOLED = 4096, 2048  # of the published models, where the encoder that would tell is absent


@dataclass(frozen=True)
class Encoder:
    """One text encoder: of which kind (`clip_l`, ...), where it lies, and where its tokenizer is looked for."""

    kind: str
    folder: Path
    tokenizer: Path
    config: Any

    @property
    def file(self) -> str:
        """The name of the file or folder it is in."""
        return self.folder.parent.name if is_inside(self.folder) else self.folder.name


def split_encoders(paths: Sequence[Path], of: str) -> TextEncoder:
    """The recipe of these encoders together; `of` is the kind of model, or `auto`."""
    found: dict[str, Encoder] = {}
    for path in paths:
        for encoder in _encoders(path):
            if encoder.kind in found:
                raise fail(
                    "model.format",
                    f"{found[encoder.kind].file} and {path.name} are both {ABOUT[encoder.kind]}",
                    mend="name each text encoder once",
                    socket="model",
                )
            found[encoder.kind] = encoder
    kind = of.removesuffix("-schnell")
    if kind == "auto":
        kind = AUTO.get(frozenset(found), "")
        if not kind:
            names = " and ".join(ABOUT[name] for name in found)
            mend = "name the others in model_2 and model_3, or set 'of' to the model it is for"
            raise fail("model.family", f"{names} alone could be of several models", mend=mend, socket="of")
    wanted = ENCODERS[kind]
    if kind in ("sd1", "sd2") and len(found) == 1:  # of any width
        wanted = dict.fromkeys(wanted, next(iter(found)))
    lost = [one for one in wanted.values() if one not in found]
    extra = [one for one in found if one not in wanted.values()]
    if extra or (lost and (kind != "sd3" or len(lost) == len(wanted))):
        have, want = (" and ".join(ABOUT[one] for one in names) for names in (found, wanted.values()))
        mend = f"name {' and '.join(ABOUT[one] for one in lost)} as well" if lost else "leave out what is not its own"
        message = f"these are {have}; {ABOUT[kind]} takes {want}"
        raise fail("model.family", message, mend=mend, socket="model")
    folders: dict[str, Path] = {}
    for name, one in wanted.items():
        if one in found:
            folders[name] = found[one].folder
            folders[name.replace("text_encoder", "tokenizer")] = found[one].tokenizer
    return family_of(kind).text_encoder(folders, _config(kind, found, of.endswith("-schnell")))


def _encoders(path: Path) -> Iterator[Encoder]:
    """The text encoders of a file or folder."""
    if path.is_file():
        checkpoint = single_file.open_file(path)
        names = {name: place.kind for name, place in checkpoint.places.items() if place.kind in CLIP_KINDS}
        if not names:
            right = "load.vae" if checkpoint.parts == ("vae",) else "load.denoiser"
            raise fail(
                "model.format",
                f"{path.name} is {checkpoint.about}, it lacks a text encoder",
                mend=f"load it with {right}, and name a text encoder here",
                socket="model",
            )
        for name, kind in names.items():
            alone = f"tokenizer@{name}" if name == kind else name.replace("text_encoder", "tokenizer")
            yield Encoder(kind, path / name, path / alone, component(path / name).config)
        return
    config = component(path).config
    told, named = config.get("model_type"), "CLIPTextModelWithProjection" in (config.get("architectures") or ())
    if told not in ("clip_text_model", "t5"):
        raise fail(
            "model.family",
            f"{path.name} is a {told or 'model of unknown kind'}, not a CLIP or T5 text encoder",
            mend="name a text encoder's folder or file, or the folder of the whole model",
            socket="model",
        )
    kind = (
        "t5" if told == "t5" else CLIP_WIDTHS.get(int(config.get("hidden_size") or 0), "clip_g" if named else "clip_l")
    )
    suffix = path.name.removeprefix("text_encoder")
    beside = path.parent / f"tokenizer{suffix}"
    yield Encoder(kind, path, beside if beside.is_dir() else path, config)


CLIP_KINDS = (*CLIP_WIDTHS.values(), "t5")


def _config(kind: str, found: dict[str, Encoder], schnell: bool) -> dict[str, Any]:
    """As much of a denoiser's configuration as its text encoders tell."""
    clips = [one.config for one in found.values() if one.kind != "t5"]
    if kind in ("sd3", "flux"):
        t5 = int(found["t5"].config["d_model"]) if "t5" in found else T5_WIDTH
        pooled = sum(int(config["projection_dim" if kind == "sd3" else "hidden_size"]) for config in clips)
        if kind == "sd3" and len(clips) < 2:
            pooled = SD3_POOLED
        name = "SD3Transformer2DModel" if kind == "sd3" else "FluxTransformer2DModel"
        told = {"_class_name": name, "joint_attention_dim": t5, "pooled_projection_dim": pooled}
        return {**told, "guidance_embeds": not schnell}
    return {"cross_attention_dim": sum(int(config["hidden_size"]) for config in clips)}
