"""Loading: how much memory and time it takes until a model's weights can compute, beside diffusers' own way.

Each load is a process of its own (`python -m bench.loading WAY FILE DTYPE`): the peak of anonymous memory is a figure
of a whole process. What is mapped from a file is not anonymous: the system can drop it and read it again. A load counts
as done when every weight has been read once, so that pages that are only mapped are paid for too.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Row, Sample

ROOT = Path(__file__).resolve().parent.parent
TARGET = 1.15  # of the weights' bytes in the dtype they compute in
WIDTH = 192  # of the first block: 310 million numbers, 620 MB in float16; Stable Diffusion 1.5 has 320
CONFIG = {"sample_size": 64, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 768, "layers_per_block": 2}


def write(folder: Path, width: int = WIDTH) -> dict[str, Path]:
    """A random UNet in float16, twice: a folder as diffusers saves it, and a single file of the first layout."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    from nodes.families.base import unmade
    from tests.nodes.first_layout import unet as first_layout

    with unmade():
        unet = UNet2DConditionModel(**CONFIG, block_out_channels=(width, 2 * width, 4 * width, 4 * width))
    generator = torch.Generator().manual_seed(0)
    state = {
        name: (torch.randn(tensor.shape, generator=generator) * 0.02).half()
        for name, tensor in unet.state_dict().items()
    }
    whole, single, beside = folder / "whole" / "unet", folder / "single.safetensors", folder / "single" / "unet"
    unet.save_config(whole)
    unet.save_config(beside)
    save_file(state, whole / "diffusion_pytorch_model.safetensors")
    old = first_layout(state, int(CONFIG["layers_per_block"]))
    save_file({f"model.diffusion_model.{key}": tensor for key, tensor in old.items()}, single)
    return {"folder": whole, "single file": single}


@contextmanager
def anonymous() -> Iterator[Callable[[], int]]:
    """How many bytes of this process no file stands behind, at most, above what it had; watched all the while."""
    before, most, done = _anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, _anonymous() - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: max(most, _anonymous() - before)
    finally:
        done.set()
        thread.join()


def _anonymous() -> int:
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("RssAnon")) * 1024


def ours(path: Path, dtype: str) -> Any:
    """The UNet as the engine builds it for its first lease."""
    from nodes.families import family_of
    from nodes.families.files import component
    from nodes.load import HOME_SPACES

    found = component(path if path.is_dir() else path / "unet")
    return family_of(found.config).denoiser(found, HOME_SPACES["sd1"], {}).build("cpu", dtype)


def theirs(path: Path, dtype: str) -> Any:
    """The UNet as diffusers loads it."""
    import torch
    from diffusers import UNet2DConditionModel

    kind = getattr(torch, dtype)
    if path.is_dir():
        return UNet2DConditionModel.from_pretrained(path, torch_dtype=kind, local_files_only=True)
    return UNet2DConditionModel.from_single_file(
        str(path), config=str(path.with_suffix("")), subfolder="unet", torch_dtype=kind, local_files_only=True
    )


def once(way: str, path: Path, dtype: str) -> dict[str, float]:
    """One load in this process: bytes of the weights, seconds on the clock and of CPU, anonymous bytes at the peak."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders import single_file_utils  # noqa: F401 - imported before the clock starts, for both ways

    import nodes.families.base
    import nodes.families.sd1
    import nodes.load  # noqa: F401

    assert UNet2DConditionModel
    gc.collect()
    with anonymous() as most:
        clock, cpu = time.perf_counter(), time.process_time()
        module = (ours if way == "weft" else theirs)(path, dtype)
        ready = time.perf_counter() - clock
        total = sum(float(tensor.amax()) for tensor in module.parameters())
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
        weights = sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())
        return {"bytes": weights, "clock": clock, "ready": ready, "cpu": cpu, "anonymous": most(), "sum": total}


def rows(width: int = WIDTH, times: int = 3, dtypes: Sequence[str] = ("float32", "float16")) -> list[Row]:
    """Folder and single file, converted and as they are: memory against the target, time against diffusers."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in write(Path(folder), width).items():
            for dtype in dtypes:
                runs = {way: [_child(way, path, dtype) for _ in range(times)] for way in ("weft", "diffusers")}
                mine, other = runs["weft"], runs["diffusers"]
                if any(run["sum"] != mine[0]["sum"] for run in (*mine, *other)):
                    raise AssertionError(f"{kind}, {dtype}: the two ways have different weights")
                size = mine[0]["bytes"]
                name = f"load a {kind} of {path_bytes(path) / 2**20:,.0f} MB float16 as {dtype}"
                peak, reference = (max(run["anonymous"] for run in one) for one in (mine, other))
                note = f"weights {size / 2**20:,.0f} MB; diffusers' peak {reference / 2**20:,.0f} MB"
                found.append(
                    Row(
                        "load",
                        f"{name}: anonymous memory, peak",
                        peak / 2**20,
                        "MB",
                        TARGET * size / 2**20,
                        "target: 1.15 of the weights in their dtype",
                        note=note,
                    )
                )
                for key, what in (("clock", "on the clock"), ("cpu", "CPU")):
                    seconds, bare = (Sample(tuple(run[key] for run in one)) for one in (mine, other))
                    found.append(
                        Row("load", f"{name}: {what}", seconds.median, "s", bare.median, "diffusers", seconds.best)
                    )
    return found


def path_bytes(path: Path) -> int:
    """Bytes of the weights' file."""
    return (path if path.is_file() else next(path.glob("*.safetensors"))).stat().st_size


def _child(way: str, path: Path, dtype: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "bench.loading", way, str(path), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[4:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(once(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
