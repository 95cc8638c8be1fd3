"""The starter's tokenizer and text encoder: taught the caption's own scene graph before any picture.

The encoder learns to say, at every position from the end-of-text token on, what stands on the left, in the
middle and on the right, and on which floor. The UNet then gets "left: red cube" for "a blue sphere right of
a red cube" ready-made and binds colours to objects early. The heads that read it out are thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.starter import world
from nodes.starter.loop import Plan, fit

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = (
    *world.COLORS,
    *world.FLOORS,
    *world.SHAPES,
    *("a an the on in at of and with left right middle background floor big small".split()),
    *("one two object objects style sketch drawing photo night blurry".split()),  # room for adapters to give a meaning
)
PLAN = Plan(steps=600, batch=256, rate=1.5e-3, seed=1, warmup=50, average=0.99, ranks=1)

# A label per column: the floor, then colour, shape and size of what stands left, in the middle, right; 0 is none.
COLUMNS = (1 + len(world.FLOORS),) + 3 * (1 + len(world.COLORS), 1 + len(world.SHAPES), 3)


@cache
def tokenizer() -> Any:
    """A CLIP tokenizer that knows every byte and every word of the world as one token.

    Each merge adds one letter in front of a word's ending, so at any moment one merge at most applies:
    no word can be broken by another's merges.
    """
    from transformers import CLIPTokenizer

    letters = _byte_letters()
    tokens = letters + [f"{letter}</w>" for letter in letters]
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        ending = f"{word[-1]}</w>"
        for letter in reversed(word[:-1]):
            merges[(letter, ending)] = None
            ending = letter + ending
    tokens += [a + b for a, b in merges] + [START, END]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=list(merges),  # type: ignore[arg-type]  # pairs, whatever its annotation says
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )


def encoder(vocabulary: int, layers: int = 3, width: int = 128) -> Any:
    """The untrained CLIP text model."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )


def labels(scene: world.Scene | None, told: str) -> list[int]:
    """The scene graph as one class per column; what the caption does not tell (its floor, perhaps) is 0."""
    row = [0] * len(COLUMNS)
    if scene is None:
        return row
    if scene.floor in told.split():
        row[0] = 1 + list(world.FLOORS).index(scene.floor)
    for o in scene.objects:
        at = 1 + 3 * world.PLACES.index(o.place)
        row[at : at + 3] = [1 + list(world.COLORS).index(o.color), 1 + world.SHAPES.index(o.shape), 1 + o.big]
    return row


@dataclass(frozen=True)
class TextTask:
    """Captions of fresh scenes in, their scene graphs out; one in twenty is empty."""

    layers: int = 3
    width: int = 128

    def build(self) -> Module:
        """The encoder with a linear head per column."""
        import torch

        words = tokenizer()
        heads = torch.nn.Linear(self.width, sum(COLUMNS))
        return torch.nn.ModuleDict({"encoder": encoder(len(words), self.layers, self.width), "heads": heads})

    def loss(self, model: Module, progress: float, count: int, rng: np.random.Generator) -> Tensor:
        """Mean cross-entropy over columns and over the positions from the end-of-text token on."""
        import torch

        texts, rows = [], []
        for _ in range(count):
            scene = world.sample(rng)
            text = "" if rng.random() < 0.05 else world.caption(scene, rng)
            texts.append(text)
            rows.append(labels(scene if text else None, text))
        scores, after = read_out(model, tokenizer(), texts)
        wanted = torch.tensor(rows)  # [count, columns]
        losses = [
            torch.nn.functional.cross_entropy(s.transpose(1, 2), w[:, None].expand(-1, LENGTH), reduction="none")
            for s, w in zip(scores, wanted.unbind(1), strict=True)
        ]
        return (torch.stack(losses).mean(0) * after).sum() / after.sum()


def read_out(model: Any, words: Any, texts: list[str]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Scores [count, length, classes] per column, and a mask [count, length] of the positions that must know."""
    tokens = words(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
    hidden = model["encoder"](tokens).last_hidden_state  # [count, length, width]
    scores = model["heads"](hidden).split(COLUMNS, dim=-1)
    return scores, (tokens == words.eos_token_id).float()


def accuracy(model: Any, seed: int, count: int) -> float:
    """Share of held-out captions whose whole scene graph is read at every position from the end-of-text token on."""
    import torch

    rng = np.random.default_rng(seed)
    words, texts, rows = tokenizer(), [], []
    for _ in range(count):
        scene = world.sample(rng, held=True)
        texts.append(world.caption(scene, rng))
        rows.append(labels(scene, texts[-1]))
    with torch.no_grad():
        scores, after = read_out(model, words, texts)
    guess = torch.stack([s.argmax(-1) for s in scores], -1)  # [count, length, columns]
    right = (guess == torch.tensor(rows)[:, None]).all(-1) | (after == 0)
    return float(right.all(1).float().mean())


def train(folder: Path, plan: Plan = PLAN, task: TextTask | None = None) -> float:
    """Train and write `text_encoder/` and `tokenizer/` into `folder`; returns the accuracy on held-out scenes."""
    task = task or TextTask()
    average = fit(task, plan, folder / "checkpoints" / "text.pt")
    model: Any = task.build()
    model.load_state_dict(average)
    model.eval()
    model["encoder"].half().save_pretrained(folder / "model" / "text_encoder", variant="fp16")
    model.float()
    tokenizer().save_pretrained(folder / "model" / "tokenizer")
    return accuracy(model, plan.seed, 512)


def _byte_letters() -> list[str]:
    """The printable letter that byte-level BPE (Radford et al. 2019) writes for each of the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    letters = {b: chr(b) if b in plain else chr(next(spare)) for b in range(256)}
    return [letters[b] for b in plain] + [letters[b] for b in range(256) if b not in plain]
