"""Files: latents saved and loaded, to go on later or elsewhere without a decode in between."""

from __future__ import annotations

import json
from typing import Annotated, Any, NamedTuple

from engine import places
from engine.errors import fail
from engine.node import File, Unkeyed, node
from engine.run import Run
from engine.sockets import copy, rule
from nodes import naming
from nodes.types import Latent, LatentSpace

ENDING, KEY = ".latent.safetensors", "weft_latent"


class Saved(NamedTuple):
    """The latent, passed through, and the file it went to: a name in the output folder, `/` on every system."""

    latent: Latent
    files: list[str]


def save_facts(**inputs: Any) -> dict[str, dict[str, Any]]:
    """No new facts; refuses a name that leaves the output folder before anything has run."""
    if isinstance(inputs["name"], str):
        naming.check(inputs["name"])
    return {}


@node(
    "latent.save",
    title="Save latent",
    effect=True,
    lane="io",
    facts=[
        rule("nodes.latent.files:save_facts"),
        *(copy(f"latent.{fact}", f"latent.{fact}") for fact in ("latent_space", "width", "height", "batch")),
    ],
    aliases=["SaveLatent"],
)
def save(run: Run, latent: Latent, name: Annotated[str, Unkeyed] = "%title%") -> Saved:
    """Write a latent as safetensors, with its space, noise mask and place in the batch, bit for bit."""
    from safetensors.torch import save as dumps

    facts = latent.facts
    space = {"name": latent.space.name, "channels": latent.space.channels, "factor": latent.space.factor}
    about = {"space": space, "preview": latent.space.preview, "seeds_from": latent.seeds_from}
    tensors = {"samples": latent.samples, "noise_mask": latent.noise_mask, "beside": latent.beside}
    there = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items() if tensor is not None}
    document, resolved = getattr(run, "document", None) or {}, getattr(run, "resolved", None) or {}
    known = naming.values_for(document, resolved, facts["width"], facts["height"])
    data = dumps(there, {KEY: json.dumps(about)})
    return Saved(latent, [naming.write_new(places.current().output, naming.expand(name, known), ENDING, data)])


@node("latent.load", title="Load latent", output="latent", lane="io", aliases=["LoadLatent"])
def load(name: Annotated[str, File("input")]) -> Latent:
    """A latent that `latent.save` wrote, from the input folder."""
    from safetensors import SafetensorError, safe_open

    path = places.current().file("input", name)
    try:
        with safe_open(str(path), framework="pt") as stream:
            about = json.loads((stream.metadata() or {}).get(KEY, "null"))
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 - it is no dict
        space = LatentSpace(**about["space"], preview=tuple(tuple(row) for row in about["preview"]))
        samples, mask, beside = (tensors.get(key) for key in ("samples", "noise_mask", "beside"))
        if samples is None or samples.ndim not in (4, 5) or samples.shape[1] != space.channels:
            raise ValueError("it holds no samples of its space")
        return Latent(samples, space, mask, int(about["seeds_from"]), beside)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        mend = "use a file that latent.save wrote, or encode the picture again"
        raise fail("media.format", f"{path.name} is no latent of Weft: {str(error)[:120]}", mend=mend) from None
