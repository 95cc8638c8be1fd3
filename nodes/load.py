"""Load: from a model's name to its recipes, reading JSON and safetensors headers; weights wait for the first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

from engine import places
from engine.errors import fail
from engine.node import Help, Model, node
from nodes.families import family_of, latent_space, vae_recipe
from nodes.families.files import component, is_inside, read_json
from nodes.types import VAE, Denoiser, LatentSpace, TextEncoder

DENOISERS = ("unet", "transformer")
# Where a denoiser stands alone: the latent space its family was published with.
HOME_SPACES = {
    space: LatentSpace(space, channels, 8) for space, channels in (("sd1", 4), ("sdxl", 4), ("sd3", 16), ("flux", 16))
}
Prediction = Annotated[
    Literal["auto", "epsilon", "v_prediction", "sample"],
    Help("What the weights predict; 'auto' reads it from the scheduler's configuration beside them."),
]


Encoders = Literal["auto", "sd1", "sd2", "sdxl", "sdxl-refiner", "sd3", "flux", "flux-schnell"]


class Parts(NamedTuple):
    """The three parts of a latent diffusion model."""

    model: Denoiser
    text_encoder: TextEncoder
    vae: VAE


@node(
    "load.model",
    title="Load model",
    advanced=("prediction",),
    light=True,
    aliases=(
        "CheckpointLoaderSimple",
        "CheckpointLoader",
        "unCLIPCheckpointLoader",
        "DiffusersLoader",
        "load.checkpoint",
        "checkpoint",
        "model",
    ),
)
def model(model: Annotated[str, Model("checkpoints")] = "starter/unet", prediction: Prediction = "auto") -> Parts:
    """A model folder as diffusers saves it, the hub id of one in the Hugging Face cache, or a single file.

    Single files are checkpoints with all parts in them (.safetensors) of Stable Diffusion 1.x, 2.x, XL, its refiner,
    3 and 3.5, and Flux, also for inpainting and in 8 bits; their tokenizers are looked for beside them, in
    `models/tokenizers`, in the models tree and in the hub's cache. A file without text encoders or VAE is loaded part
    by part, with load.denoiser, load.text_encoder and load.vae.

    Gives the denoiser, its text encoders and its autoencoder as recipes. Errors: `model.missing`, `model.format` for
    what is damaged, pickled or incomplete, `model.family` for a kind of model that is not known here.
    """
    folder = _place("checkpoints", model)
    index = _index(folder)
    part = next((name for name in DENOISERS if name in index), None)
    if part is None or "vae" not in index:
        raise _lacks(folder, "a denoiser (unet or transformer)" if part is None else "a vae", "load.model")
    vae = vae_recipe(component(index["vae"]))
    found = component(index[part])
    family = family_of(found.config)
    denoiser = family.denoiser(found, vae.space, _trained(_training(folder / "scheduler"), prediction))
    return Parts(denoiser, _text_encoder(folder, index, found.config), vae)


@node(
    "load.denoiser",
    title="Load denoiser",
    advanced=("prediction",),
    light=True,
    output="model",
    aliases=("UNETLoader", "Load Diffusion Model", "UnetLoaderGGUF"),
)
def denoiser(
    model: Annotated[str, Model("diffusion_models")] = "starter/unet", prediction: Prediction = "auto"
) -> Denoiser:
    """A UNet or transformer: its own folder, that of a whole model, or a single file, whole or the denoiser alone.

    Single files are those of Stable Diffusion 1.x, 2.x, XL, 3 and 3.5 and Flux, as first published or under
    diffusers' names, also for inpainting and in 8 bits, as safetensors or GGUF (Q4_K_S and the like, which stay packed
    in memory). Scheduler and VAE beside it tell what it was trained with.
    """
    folder = _part("load.denoiser", _place("diffusion_models", model), *DENOISERS)
    found = component(folder)
    family = family_of(found.config)
    training = _trained(_training(folder.parent / "scheduler"), prediction)
    beside = folder.parent / "vae"
    known = "vae" in _index(folder.parent) if folder.parent.is_file() else (beside / "config.json").is_file()
    space = latent_space(component(beside).config, beside) if known else HOME_SPACES[family.name]
    return family.denoiser(found, space, training)


@node("load.vae", title="Load VAE", advanced=("space",), light=True, output="vae", aliases=("VAELoader",))
def vae(
    model: Annotated[str, Model("vae")] = "starter/unet",
    space: Annotated[
        Literal["auto", "sd1", "sdxl", "sd3", "flux"],
        Help("Of whose latents a single file is: those of sd1 and sdxl, or of sd3 and flux, look alike from outside."),
    ] = "auto",
) -> VAE:
    """An autoencoder: its own folder, that of a whole model, or a single file."""
    folder = _part("load.vae", _place("vae", model), "vae")
    if space != "auto" and is_inside(folder):
        folder = folder.with_name(f"vae@{space}")
    recipe = vae_recipe(component(folder))
    if space not in ("auto", recipe.space.name):
        raise fail(
            "facts.mismatch",
            f"{folder.name} is a VAE of {recipe.space.name}, not of {space}",
            mend="set space to auto",
            socket="space",
        )
    return recipe


@node(
    "load.text_encoder",
    title="Load text encoder",
    light=True,
    output="text_encoder",
    aliases=("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "CLIPLoaderGGUF", "DualCLIPLoaderGGUF", "T5 loader"),
)
def text_encoder(
    model: Annotated[str, Model("text_encoders")] = "starter/unet",
    model_2: Annotated[str, Model("text_encoders")] = "",
    model_3: Annotated[str, Model("text_encoders")] = "",
    of: Encoders = "auto",
) -> TextEncoder:
    """Text encoders: all of a whole model (folder or checkpoint), or one to three of their own files or folders.

    Files as the community splits them (clip_l, clip_g, t5xxl, also in 8 bits or as GGUF) are told apart by their
    headers, in any order. Stable Diffusion 1.x takes CLIP-L, 2.x CLIP-H, XL CLIP-L and CLIP-G, its refiner CLIP-G, Flux
    CLIP-L and T5, Stable Diffusion 3 any of CLIP-L, CLIP-G and T5. Tokenizers are looked for beside the files, in
    `models/tokenizers`, in the models tree and in the hub's cache.

    Errors: `model.format` for what is damaged or has no tokenizer, `model.family` for what is no text encoder here.

    Args:
        model: A text encoder, or a whole model.
        model_2: The second one, where the model has several.
        model_3: The third one.
        of: Of which model they are; 'auto' tells it from which encoders there are.
    """
    names = [name for name in (model, model_2, model_3) if name]
    paths = [_place("text_encoders", name) for name in names]
    if len(paths) == 1 and of == "auto" and (whole := _whole_encoders(paths[0])) is not None:
        return whole
    from nodes.families.split import split_encoders

    return split_encoders(paths, of)


def _file() -> ModuleType:
    """The room that reads single files; imported when there is one, so that planning with a folder starts sooner."""
    from nodes.families import single_file

    return single_file


def _place(kind: str, name: str) -> Path:
    """The folder or single file that a name means; a file is looked into at once, so that a pickle is told as one."""
    path = places.current().model(kind, name)
    if not path.is_dir():
        _file().open_file(path)
    return path


def _part(node: str, folder: Path, *names: str) -> Path:
    """The folder of a component: itself, or the first of `names` when it is a whole model's."""
    if folder.is_dir() and not (folder / "model_index.json").is_file():
        return folder
    index = _index(folder)
    found = next((index[name] for name in names if name in index), None)
    if found is None:
        raise _lacks(folder, f"a component named {' or '.join(names)}", node)
    return found


def _index(folder: Path) -> dict[str, Path]:
    """The components that `model_index.json` names and does not leave empty, or those of a single file, by name."""
    if folder.is_file():
        parts: dict[str, Path] = _file().parts(folder)
        return parts
    record = read_json(folder / "model_index.json")
    named = [
        name
        for name, entry in record.items()
        if not name.startswith("_") and isinstance(entry, list) and len(entry) == 2 and entry[1] is not None
    ]
    for name in named:
        if not (folder / places.check_name(name)).is_dir() and name in (*DENOISERS, "vae"):
            raise _lacks(folder, f"the folder '{name}'")
    return {name: folder / name for name in named}


def _text_encoder(folder: Path, index: Mapping[str, Path], config: Mapping[str, Any]) -> TextEncoder:
    encoders = [name for name in index if name.startswith("text_encoder")]
    if not encoders:
        raise _lacks(folder, "a text encoder", "load.model")
    for name in encoders:
        if not (index[name].is_dir() or folder.is_file()):
            raise _lacks(folder, f"the folder '{name}'", "load.model")
    # A tokenizer that the index forgets is still looked for; one that is missing is named by the family.
    names = (name.replace("text_encoder", "tokenizer") for name in encoders)
    return family_of(config).text_encoder({**index, **{name: folder / name for name in names}}, config)


def _whole_encoders(path: Path) -> TextEncoder | None:
    """All text encoders of a whole model; None for a folder or file that is a text encoder itself."""
    if path.is_dir() and not (path / "model_index.json").is_file():
        return None
    index = _index(path)
    part = next((name for name in DENOISERS if name in index), None)
    if part is None and path.is_file() and any(name in _file().ABOUT for name in index):
        return None
    if part is None:
        raise _lacks(path, "a text encoder" if path.is_file() else "a denoiser that says how wide the text is")
    if path.is_file() and not any(name.startswith("text_encoder") for name in index):
        raise _lacks(path, "a text encoder", "load.text_encoder")
    return _text_encoder(path, index, component(index[part]).config)


def _training(folder: Path) -> dict[str, Any]:
    """The scheduler's numbers as the model was published with them; none when there is no scheduler."""
    if is_inside(folder):
        found: dict[str, Any] = _file().open_file(folder.parent).training
        return found
    path = folder / "scheduler_config.json"
    if not path.is_file():
        return {}
    return {key: value for key, value in read_json(path).items() if not key.startswith("_")}


def _trained(training: dict[str, Any], prediction: str) -> dict[str, Any]:
    """What the weights predict, where the node says it."""
    return training if prediction == "auto" else {**training, "prediction_type": prediction}


# Which node is right for a part that stands alone.
_NODES = {"unet": "load.denoiser", "transformer": "load.denoiser", "vae": "load.vae"}


def _lacks(folder: Path, what: str, node: str = "") -> Exception:
    """What is not there; of a single file also what it is, and which node reads that."""
    if not folder.is_file():
        mend = "use a whole model folder as diffusers saves it"
        return fail("model.format", f"{folder.name} lacks {what}", mend=mend, file=str(folder))
    found = _file().open_file(folder)
    right = list(dict.fromkeys(_NODES.get(part, "load.text_encoder") for part in found.parts))
    mend = f"load it with {' and '.join(right)}, and the rest with the other load nodes"
    if right == [node]:
        mend = "choose a file that has it"
    return fail("model.format", f"{folder.name} is {found.about}, it lacks {what}", mend=mend, socket="model")
