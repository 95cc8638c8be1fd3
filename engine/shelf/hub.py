"""Hub: which files of a repository on the Hugging Face hub are wanted, and what they should be when they have come."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import fail

TOKENIZER = (
    *("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("spiece.model", "added_tokens.json"),
)
WEIGHTS = (".safetensors", ".sft")
SMALL = (".json", ".txt", ".model")


@dataclass(frozen=True)
class Entry:
    """A file of a repository; `sha256` where the hub knows it (large files)."""

    name: str
    size: int
    sha256: str
    url: str


def entries(repository: str, revision: str | None = None) -> list[Entry]:
    """The files of a repository, through huggingface_hub; `model.missing` when it is not there or not open to us."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        told = huggingface_hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
    except GatedRepoError:
        mend = f"accept its licence on its page, and log in once with `hf auth login`: {repository}"
        message = f"{repository} is given only to those who accepted its licence"
        raise fail("model.missing", message, mend=mend) from None
    except RepositoryNotFoundError:
        raise fail("model.missing", f"the hub has no model '{repository}'", mend="check the name: org/name") from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0][:160]
        message = f"the hub cannot be asked for {repository}: {why}"
        raise fail("model.missing", message, mend="try again later") from None
    return [
        Entry(
            one.rfilename,
            one.size or 0,
            one.lfs.sha256 if one.lfs is not None else "",
            huggingface_hub.hf_hub_url(repository, one.rfilename, revision=told.sha or revision),
        )
        for one in told.siblings or ()
    ]


def headers() -> dict[str, str]:
    """What the hub wants to know of who asks: the token of `hf auth login`, when there is one."""
    import huggingface_hub

    token = huggingface_hub.get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def choose(repository: str, found: Sequence[Entry], only: str = "", variant: str = "") -> list[Entry]:
    """The files worth having: a whole model's folder, or the one weights file there is.

    Safetensors only; `only` is a file's name, a pattern, or `tokenizer`; `variant` is `fp16` where there are several.
    """
    if only == "tokenizer":
        wanted = [one for one in found if one.name.rpartition("/")[2] in TOKENIZER and one.name.count("/") < 2]
        top = [one for one in wanted if "/" not in one.name]
        return _some(repository, only, top or wanted)
    if only:
        return _some(repository, only, [one for one in found if fnmatch.fnmatch(one.name, only)])
    whole = any(one.name == "model_index.json" for one in found)
    if whole or any(one.name == "config.json" for one in found):
        small = [one for one in found if one.name.endswith(SMALL) and not one.name.endswith(".index.json")]
        folders = [one for one in found if one.name.endswith(WEIGHTS) and (not whole or "/" in one.name)]
        indices = [one for one in found if one.name.endswith(".index.json")]
        chosen = _of_variant(folders, variant)
        kept = {one.name for one in chosen}
        stems = {name.partition("-000")[0].rpartition(".safetensors")[0] or name.partition("-000")[0] for name in kept}
        mine = [one for one in indices if one.name.partition(".safetensors")[0] in stems]
        if chosen:
            # What says "this is a model" comes last: half a model is not listed.
            return sorted([*small, *mine, *chosen], key=lambda one: (one.name.count("/") == 0, one.name))
    files = [one for one in found if one.name.endswith((*WEIGHTS, ".gguf"))]
    if len(files) == 1:
        return files
    if not files:
        pickled = any(one.name.endswith((".bin", ".ckpt", ".pt", ".pth")) for one in found)
        why = "only pickled weights, which could run any program when opened" if pickled else "no weights"
        raise fail("model.format", f"{repository} has {why}", mend="look for a safetensors version of it")
    names = ", ".join(one.name for one in files[:6])
    raise fail(
        "cli.usage",
        f"{repository} has {len(files)} weights files and is no model folder",
        mend=f"name one: weft models get {repository}/{files[0].name} (there are {names})",
    )


def _some(repository: str, only: str, found: list[Entry]) -> list[Entry]:
    if not found:
        raise fail("model.missing", f"{repository} has no file '{only}'", mend="look at its page for the names")
    return found


def _of_variant(found: Sequence[Entry], variant: str) -> list[Entry]:
    """In each folder the weights of this variant, or those without one when it has them."""
    by_folder: dict[str, list[Entry]] = {}
    for one in found:
        by_folder.setdefault(one.name.rpartition("/")[0], []).append(one)
    chosen: list[Entry] = []
    for group in by_folder.values():
        plain = [one for one in group if not _variant(one.name)]
        asked = [one for one in group if variant and _variant(one.name) == variant]
        rest = sorted({_variant(one.name) for one in group})
        chosen += asked or plain or [one for one in group if _variant(one.name) == rest[0]]
    return chosen


def _variant(name: str) -> str:
    """`fp16` in `model.fp16.safetensors` and in `model.fp16-00001-of-00002.safetensors`."""
    parts = name.rpartition("/")[2].split(".")
    return parts[1].partition("-")[0] if len(parts) > 2 else ""
