"""Page one: what each wire carries, with shapes, dtypes, ranges and scaling.

Values that hold tensors (`Image`, `Mask`, `Latent`) are heavy: they exist only after a step has run. All others are
**recipes**: leaves plus plain numbers, known while a plan is made, before any weight is read. A recipe never holds a
live module; `with run.lease(recipe) as module:` borrows one, set exactly to the recipe.

Facts (`.facts`) are what is known of a value before it exists; the nodes' rules compare them, so that "this LoRA does
not fit this model" is an error on the socket and not a matrix-shape traceback. A field with `compare=False` (a path on
this machine) is not part of any key.

Each class says that it is of this module, wherever in the folder it stands: that name is in ids and in files on disk.
"""

from nodes.types.conditioning import Conditioning, Entry, Framing
from nodes.types.control import Control, ControlItem, ControlNet
from nodes.types.denoiser import Denoiser
from nodes.types.encoder import TextEncoder
from nodes.types.guidance import Guidance, Perturbation
from nodes.types.image_prompt import ImageEncoder, ImagePrompt, IPAdapter
from nodes.types.latent import Latent, LatentSpace, Leftover
from nodes.types.lora import Adapter, Lora
from nodes.types.patch import Patch, has_range, patches_acting
from nodes.types.picture import Image, Mask, Stitch
from nodes.types.recipe import plain
from nodes.types.schedule import Noise, Schedule
from nodes.types.upscaler import Upscaler
from nodes.types.vae import VAE
from nodes.types.weights import Weights

__all__ = [
    "VAE",
    "Adapter",
    "Conditioning",
    "Control",
    "ControlItem",
    "ControlNet",
    "Denoiser",
    "Entry",
    "Framing",
    "Guidance",
    "IPAdapter",
    "Image",
    "ImageEncoder",
    "ImagePrompt",
    "Latent",
    "LatentSpace",
    "Leftover",
    "Lora",
    "Mask",
    "Noise",
    "Patch",
    "Perturbation",
    "Schedule",
    "Stitch",
    "TextEncoder",
    "Upscaler",
    "Weights",
    "has_range",
    "patches_acting",
    "plain",
]
