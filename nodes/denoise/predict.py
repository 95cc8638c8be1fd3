"""Predict: one function of (x, t, step) for the whole of model, prompts, guidance and ControlNets.

A sampler only ever sees `predict(x, t, i)`. Each layer wraps the one below: the family's forward, the prompts of one
side averaged, guidance over both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from nodes.denoise import meeting
from nodes.denoise.active import control_at, entries_at, guided_at, perturbed_at
from nodes.denoise.perturb import perturbed
from nodes.families.base import SIDES, Family
from nodes.families.choices import remembering
from nodes.types import Conditioning, Control, ControlItem, Entry, Guidance

if TYPE_CHECKING:
    import torch

Predict = Callable[["torch.Tensor", "torch.Tensor", int], "torch.Tensor"]


@dataclass(eq=False)
class Model:
    """A leased denoiser with its ControlNets, and the texts it was given, made ready once for the whole run."""

    family: Family
    module: Any
    controls: Sequence[tuple[ControlItem, Any, torch.Tensor]]  # item, module, hint [batch or 1, 3, height, width]
    scale: float = 1.0
    factor: int = 8  # pixels a cell
    beside: torch.Tensor | None = None  # [batch or 1, channel, h, w], what a model for inpainting sees with the noise
    alone: bool = False  # one picture of the batch at a time, because all did not fit into memory
    plain: bool = False  # nothing on it reads attention
    texts: dict[tuple[int, ...], tuple[Any, Any, Any]] = field(default_factory=dict)

    def forward(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        entries: Sequence[Entry],
        items: Sequence[ControlItem],
        against: Sequence[Entry] = (),
    ) -> list[torch.Tensor]:
        """One forward over `entries`, in their order along the batch: a prediction [batch, channel, h, w] for each.

        `against` are those of the negative side, which a ControlNet in guess mode does not steer.
        """
        import torch

        text, pooled, sizes = self._text(entries, x)
        many = torch.cat([x] * len(entries)) if len(entries) > 1 else x  # (entries * batch, channel, h, w)
        count, sides = many.shape[0], _sides(entries, against)
        batch = count // len(entries)
        # What a T2I-Adapter sees depends on nothing else, so it looks once for the whole batch.
        controls = [
            (item, net, hint if hasattr(net, "adapter") and not self.alone else _repeat(hint, count))
            for item, net, hint in self.controls
            if item in items
        ]
        beside = None if self.beside is None else _repeat(self.beside, count)
        outs = []
        parts = [(slice(None), sides)]
        if self.alone:
            parts = [(slice(row, row + 1), [sides[row // batch]]) for row in range(count)]
        for part, pro in parts:
            pool, size = (None if one is None else one[part] for one in (pooled, sizes))
            words = text[part]
            some, residuals = many[part], None
            for item, net, hints in controls:
                more = self._steer(item, net, t, (some, words, pool, hints[part], size), pro)
                if more is not None:
                    residuals = more if residuals is None else self.family.add_residuals(residuals, more)
            if beside is not None:
                some = torch.cat([some, beside[part]], dim=1)
            told = SIDES.set(tuple(pro))
            who = f"{part.start}:{'+'.join(str(id(entry)) for entry in entries)}"
            try:
                with remembering(self.module, who):
                    asked = (some, t, words, pool, residuals, self.scale, size)
                    outs.append(meeting.predict(self.plain, self.family, self.module, *asked))
            finally:
                SIDES.reset(told)
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        return list(out.chunk(len(entries)))

    def _steer(self, item: ControlItem, net: Any, t: torch.Tensor, given: tuple[Any, ...], pro: list[bool]) -> Any:
        """A ControlNet's residuals; in guess mode of the positive entries alone, zeros for the others."""
        import torch

        x = given[0]
        if not item.guess or all(pro):
            x, text, pooled, hint, sizes = given
            return meeting.control(self.family, net, x, t, text, pooled, hint, item.strength, sizes, item)
        if not any(pro):
            return None
        batch = x.shape[0] // len(pro)
        rows = torch.cat([torch.arange(i * batch, (i + 1) * batch, device=x.device) for i, on in enumerate(pro) if on])
        picked: list[Any] = [None if one is None else one[rows] if len(one) == len(x) else one for one in given]
        x, text, pooled, hint, sizes = picked
        found = meeting.control(self.family, net, x, t, text, pooled, hint, item.strength, sizes, item)
        return _spread(found, rows, batch * len(pro))

    def _text(self, entries: Sequence[Entry], x: torch.Tensor) -> tuple[Any, Any, Any]:
        """Embeddings, pooled and sizes of these entries for the whole batch, made once."""
        import torch

        key = tuple(id(entry) for entry in entries)
        if key not in self.texts:
            batch = x.shape[0]
            text = torch.cat([_repeat(entry.embedding.to(x), batch) for entry in entries])
            pools = [_repeat(entry.pooled.to(x), batch) for entry in entries if entry.pooled is not None]
            width, height = x.shape[-1] * self.factor, x.shape[-2] * self.factor
            rows = [self.family.sizes(self.module, entry, width, height) for entry in entries]
            # In float32 whatever the model computes in: bfloat16 has no 1023.
            told = (
                torch.cat([_repeat(torch.tensor([row], device=x.device), batch) for row in rows]) if rows[0] else None
            )
            self.texts[key] = (text, torch.cat(pools) if pools else None, told)
        return self.texts[key]


def _sides(entries: Sequence[Entry], against: Sequence[Entry]) -> list[bool]:
    """Which entries are of the positive side. By identity: their tensors have no one answer to `==`."""
    return [not any(entry is other for other in against) for entry in entries]


def _spread(found: Any, rows: torch.Tensor, count: int) -> Any:
    """Residuals of some rows of a batch as those of all `count`, the others zero."""
    if found is None:
        return None
    if isinstance(found, list | tuple):
        return [_spread(one, rows, count) for one in found]
    whole = found.new_zeros(count, *found.shape[1:])
    whole[rows] = found
    return whole


def _repeat(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """[1 or n, ...] as [batch, ...], one after the other."""
    times = batch // tensor.shape[0]
    return tensor.repeat(times, *[1] * (tensor.dim() - 1)) if times > 1 else tensor


def guided(
    model: Model,
    positive: Conditioning,
    negative: Conditioning | None,
    guidance: Guidance,
    control: Control | None,
    total: int,
    memory: dict[str, torch.Tensor] | None = None,
) -> Predict:
    """Guidance over the averaged prompts of both sides, and away from worse predictions (`nodes/guidance.py`).

    `memory` is what it carries from step to step (APG's average of differences): part of the state of a stopped run.
    """
    kept: dict[str, torch.Tensor] = {} if memory is None else memory

    def predict(x: torch.Tensor, t: torch.Tensor, index: int) -> torch.Tensor:
        pros = entries_at(positive, index, total)
        cons = entries_at(negative, index, total) if guided_at(guidance, index, total) else ()
        items = control_at(control, index, total)
        found: dict[int, torch.Tensor] = {}
        # The order of diffusers' pipelines: the negative first.
        for group in _groups((*cons, *pros), guidance.mode):
            for entry, prediction in zip(group, model.forward(x, t, group, items, cons), strict=True):
                found[id(entry)] = prediction
        c = out = _average(pros, [found[id(entry)] for entry in pros], x, model.factor)
        if cons:
            u = _average(cons, [found[id(entry)] for entry in cons], x, model.factor)
            out = _combined(guidance, c, u, index, kept)
        away = perturbed_at(guidance, index, total)
        for one in away:
            with meeting.wearing(one, partial(perturbed, model.module, one, x.shape[-2], x.shape[-1])):
                worse = [model.forward(x, t, group, items) for group in _groups(pros, guidance.mode)]
            order = [entry for group in _groups(pros, guidance.mode) for entry in group]
            told = {id(entry): p for entry, p in zip(order, (p for made in worse for p in made), strict=True)}
            out = out + one.scale * (c - _average(pros, [told[id(entry)] for entry in pros], x, model.factor))
        if guidance.rescale > 0 and (cons or away):
            from diffusers.guiders.guider_utils import rescale_noise_cfg

            out = rescale_noise_cfg(out, c, guidance_rescale=guidance.rescale)
        return out

    return predict


def _combined(
    guidance: Guidance, c: torch.Tensor, u: torch.Tensor, index: int, kept: dict[str, torch.Tensor]
) -> torch.Tensor:
    """The conditional prediction c and the unconditional u as one, [batch, channel, h, w] (see the nodes' sources)."""
    import torch

    options, scale = dict(guidance.options), guidance.scale
    if guidance.kind == "cfg_zero":
        from diffusers.guiders.classifier_free_zero_star_guidance import cfg_zero_star_scale

        if index < options["zero_steps"]:
            return torch.zeros_like(c)
        u = u * cfg_zero_star_scale(c.flatten(1), u.flatten(1)).view(-1, 1, 1, 1)
    elif guidance.kind == "tcfg":
        from diffusers.guiders.tangential_classifier_free_guidance import normalized_guidance as tangential

        found: torch.Tensor = tangential(c, u, scale)
        return found
    elif guidance.kind == "apg":
        from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance

        buffer: Any = MomentumBuffer(options["momentum"])
        buffer.running_average = kept.get("average", 0)
        given = {"eta": options["parallel"], "norm_threshold": options["threshold"]}
        found = normalized_guidance(c, u, scale, buffer, **given)
        kept["average"] = buffer.running_average
        return found
    return u + scale * (c - u)


def _groups(entries: Sequence[Entry], mode: str) -> list[list[Entry]]:
    """Which entries share a forward: all of one length of text when batched, none when sequential."""
    if mode == "sequential":
        return [[entry] for entry in entries]
    groups: dict[tuple[int, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(entry.embedding.shape[1:]), []).append(entry)
    return list(groups.values())


def _average(
    entries: Sequence[Entry], predictions: Sequence[torch.Tensor], x: torch.Tensor, factor: int
) -> torch.Tensor:
    """Predictions averaged cell by cell, by weight, mask and area; alone, a prompt acts everywhere and unchanged.

    Where no entry reaches, all of them count the same.
    """
    import torch

    if len(predictions) == 1:
        return predictions[0]
    shares = torch.stack([_share(entry, x, factor) for entry in entries])  # (entries, 1 or batch, 1, h, w)
    total = shares.sum(dim=0)
    shares = torch.where(total > 0, shares / total.clamp(min=1e-8), 1.0 / len(entries))
    return (torch.stack(list(predictions)) * shares).sum(dim=0).to(x.dtype)


def _share(entry: Entry, x: torch.Tensor, factor: int) -> torch.Tensor:
    """How much an entry counts in each cell of `factor` pixels a side: [batch, 1, h, w]."""
    import torch

    batch, _, height, width = x.shape
    share = torch.full((batch, 1, height, width), entry.weight, device=x.device)
    if entry.mask is not None:
        alpha = entry.mask.alpha[:, None].to(share)
        share = share * _repeat(torch.nn.functional.interpolate(alpha, (height, width), mode="area"), batch)
    if entry.area is not None:
        left, top, wide, high = entry.area
        if entry.pixels:
            across, down = width * factor, height * factor
            left, top, wide, high = left / across, top / down, wide / across, high / down
        inside = torch.zeros_like(share)
        # At least one cell, however small the area.
        x0, y0 = min(int(left * width), width - 1), min(int(top * height), height - 1)
        x1, y1 = max(round((left + wide) * width), x0 + 1), max(round((top + high) * height), y0 + 1)
        inside[..., y0:y1, x0:x1] = 1
        share = share * inside
    return share
