"""Meeting: where runs of the loop wait for each other, and what they ask of a model is stacked.

A wish is one call of a denoiser or a ControlNet. Wishes of one kind become one call: their rows stand one after the
other, and each run gets its own rows back. Outside a meeting every call here is the plain one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from nodes.families.base import SIDES

if TYPE_CHECKING:
    import torch

    from nodes.families.base import Family
    from nodes.types import ControlItem

Garment = tuple[Any, Callable[[], AbstractContextManager[None]]]  # what it is, equal for equals; and putting it on


@dataclass(eq=False)
class _Wish:
    """A call that a run waits for."""

    worn: tuple[Garment, ...] = field(default_factory=lambda: WORN.get(), init=False)
    sides: tuple[bool, ...] = field(default_factory=lambda: SIDES.get(), init=False)
    result: Any = field(default=None, init=False)
    error: BaseException | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)

    rows: int = field(default=0, init=False)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Wishes of one kind can be stacked."""
        raise NotImplementedError

    def carry_out(self, group: Sequence[Any]) -> Any:
        """The call for all of the group, of which this is the first: a result whose rows are theirs, in order."""
        raise NotImplementedError


@dataclass(eq=False)
class _Prediction(_Wish):
    """A forward of the denoiser."""

    plain: bool  # nothing on the model reads attention: texts may be filled up to one length
    family: Family
    module: Any
    x: torch.Tensor
    t: torch.Tensor
    text: torch.Tensor
    pooled: torch.Tensor | None
    residuals: Any
    scale: float
    sizes: torch.Tensor | None

    def __post_init__(self) -> None:
        self.rows = self.x.shape[0]

    @property
    def kind(self) -> tuple[Any, ...]:
        """Shapes but for the rows; the length of the text matters unless the family can leave out what fills it up."""
        text = _form(self.text)
        if self.plain and self.family.masks_text:
            text = (text[0][1:], *text[1:])
        parts = (self.x, self.pooled, self.sizes, self.residuals)
        worn = tuple(name for name, _ in self.worn)
        return ("denoiser", text, *map(_form, parts), self.t.dtype, self.scale, worn)

    def carry_out(self, group: Sequence[_Prediction]) -> Any:
        """One forward."""
        text, seen = _filled([one.text for one in group])
        x, t, pooled, residuals, sizes = _stacked(
            [(one.x, one.t.expand(one.rows), one.pooled, one.residuals, one.sizes) for one in group]
        )
        more = {} if seen is None else {"seen": seen}
        return self.family.predict(self.module, x, t, text, pooled, residuals, self.scale, sizes, **more)


@dataclass(eq=False)
class _Steering(_Wish):
    """A forward of a ControlNet."""

    family: Family
    net: Any
    x: torch.Tensor
    t: torch.Tensor
    text: torch.Tensor
    pooled: torch.Tensor | None
    hint: torch.Tensor
    strength: float
    sizes: torch.Tensor | None
    item: ControlItem

    def __post_init__(self) -> None:
        self.rows = self.x.shape[0]

    @property
    def kind(self) -> tuple[Any, ...]:
        """The net, its mode, and shapes but for the rows; hints and strengths may differ."""
        parts = (self.x, self.text, self.pooled, self.hint, self.sizes)
        return ("net", id(self.net), self.item.mode, self.item.guess, self.t.dtype, *map(_form, parts))

    def carry_out(self, group: Sequence[_Steering]) -> Any:
        """One forward, of which each run takes as much as it asked for."""
        x, t, text, pooled, hint, sizes = _stacked(
            [(one.x, one.t.expand(one.rows), one.text, one.pooled, one.hint, one.sizes) for one in group]
        )
        strengths = [one.strength for one in group]
        if len(set(strengths)) == 1:
            return self.family.control(self.net, x, t, text, pooled, hint, self.strength, sizes, self.item)
        found = self.family.control(self.net, x, t, text, pooled, hint, 1.0, sizes, self.item)
        each = x.new_tensor(strengths).repeat_interleave(x.new_tensor([one.rows for one in group]).long())
        return _mapped(found, lambda rows: rows * each.to(rows).view(-1, *[1] * (rows.dim() - 1)))


class Meeting:
    """Where runs wait for each other. One thread serves, every run asks on its own."""

    def __init__(self, count: int) -> None:
        """`count` runs are under way."""
        self._changed = threading.Condition()
        self._under_way = count
        self._waiting: list[_Wish] = []
        self._worn: tuple[Any, ...] = ()
        self._clothes = ExitStack()

    def ask(self, wish: _Wish) -> Any:
        """What the wish alone would give, computed together with what the others ask for."""
        with self._changed:
            self._waiting.append(wish)
            self._changed.notify_all()
            self._changed.wait_for(lambda: wish.over)
        if wish.error is not None:
            raise wish.error
        return wish.result

    def leave(self) -> None:
        """A run is at its end."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def serve(self) -> None:
        """Answer, until every run has left."""
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._waiting) == self._under_way)
                    if not self._under_way:
                        return
                    wishes, self._waiting = self._waiting, []
                groups: dict[tuple[Any, ...], list[_Wish]] = {}
                for wish in wishes:
                    groups.setdefault(wish.kind, []).append(wish)
                for group in groups.values():
                    self._answer(group)
                with self._changed:
                    for wish in wishes:
                        wish.over = True
                    self._changed.notify_all()
        finally:
            self._clothes.close()

    def _answer(self, group: Sequence[_Wish]) -> None:
        # For each row, so that whoever asks need not know how the batch is put together.
        sides = [side for wish in group for side in wish.sides for _ in range(wish.rows // len(wish.sides))]
        told = SIDES.set(tuple(sides))
        try:
            self._dress(group[0].worn)
            out = group[0].carry_out(group)
            start = 0
            for wish in group:
                wish.result = _mapped(out, itemgetter(slice(start, start + wish.rows)))
                start += wish.rows
        except BaseException as error:
            for wish in group:
                wish.error = error
        finally:
            SIDES.reset(told)

    def _dress(self, worn: Sequence[Garment]) -> None:
        """Let the model wear what these wishes want, and nothing else."""
        names = tuple(name for name, _ in worn)
        if names == self._worn:
            return
        self._worn = ()
        self._clothes.close()
        for _, put_on in worn:
            self._clothes.enter_context(put_on())
        self._worn = names


MEETING: ContextVar[Meeting | None] = ContextVar("weft_meeting", default=None)
WORN: ContextVar[tuple[Garment, ...]] = ContextVar("weft_worn", default=())


@contextmanager
def wearing(name: Any, put_on: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Let the model be changed by `put_on` for the forwards inside, of this run alone; `name` is equal for equals."""
    if MEETING.get() is None:
        with put_on():
            yield
        return
    token = WORN.set((*WORN.get(), (name, put_on)))
    try:
        yield
    finally:
        WORN.reset(token)


def predict(plain: bool, family: Family, module: Any, *inputs: Any) -> torch.Tensor:
    """`family.predict(module, *inputs)`, together with others where runs share their forwards.

    `plain`: nothing on the model reads attention, so texts of several lengths may share a forward.
    """
    meeting = MEETING.get()
    if meeting is None:
        return family.predict(module, *inputs)
    out: torch.Tensor = meeting.ask(_Prediction(plain, family, module, *inputs))
    return out


def control(family: Family, net: Any, *inputs: Any) -> Any:
    """`family.control(net, *inputs)`, together with others; a T2I-Adapter, which is small, always alone."""
    meeting = MEETING.get()
    if meeting is None or hasattr(net, "adapter"):
        return family.control(net, *inputs)
    return meeting.ask(_Steering(family, net, *inputs))


# --- rows ------------------------------------------------------------------------------------------------------------


def _form(value: Any) -> Any:
    """What must agree between values that are stacked: shapes but for the rows, dtypes, and all that is no tensor."""
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    return (tuple(value.shape[1:]), value.dtype) if hasattr(value, "shape") else (value,)


def _stacked(values: Sequence[Any]) -> Any:
    """Values of one form as one, their rows one after the other."""
    first = values[0]
    if len(values) == 1 or not (isinstance(first, list | tuple) or hasattr(first, "shape")):
        return first
    if isinstance(first, list | tuple):
        return [_stacked(parts) for parts in zip(*values, strict=True)]
    import torch

    return torch.cat(list(values))


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A value with every tensor in it changed."""
    if isinstance(value, list | tuple):
        return [_mapped(one, change) for one in value]
    return change(value) if hasattr(value, "shape") else value


def _filled(texts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Texts [rows, tokens, width] as one, filled up with zeros; and which tokens are real, where not all are."""
    import torch

    longest = max(text.shape[1] for text in texts)
    if all(text.shape[1] == longest for text in texts):
        return _stacked(texts), None
    whole, seen = [], []
    for text in texts:
        rows, tokens, _ = text.shape
        whole.append(torch.nn.functional.pad(text, (0, 0, 0, longest - tokens)))
        real = torch.arange(longest, device=text.device) < tokens
        seen.append(real.expand(rows, longest))
    return torch.cat(whole), torch.cat(seen)
