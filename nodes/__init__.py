"""Weft's own nodes: the diffusion textbook in thin chapters, over diffusers, transformers and peft.

Page one is `nodes.types` (what each wire carries). `nodes.families` has one file per model family. No module here
imports torch, diffusers, transformers or peft at its top: a workflow is read, checked and planned without them.
"""

__weft_pack__ = {
    "title": "Weft",
    "about": "The diffusion textbook: load, encode, denoise, decode, save.",
    "models": {
        "starter/unet": "starter/model",
        "loras:starter/big": "starter/loras/big.safetensors",
        "controlnet:starter/edges": "starter/controlnet/edges",
    },
    "describe": "nodes.families.describe:describe",
    "convert": "nodes.comfyui:convert",
    "exclude": ["starter"],
}
