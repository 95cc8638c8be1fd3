"""Prompts blended, joined, placed in pixels and one after another – and that each of it reaches the picture."""

from dataclasses import replace

import pytest
import torch

from engine.errors import WeftError
from engine.sockets import Ref
from nodes import conditioning, denoise, load, text
from nodes.denoise.active import active, entries_at
from nodes.types import Conditioning, Denoiser, Entry, Latent, LatentSpace, Weights


def of(embedding, pooled=None, **more) -> Conditioning:
    return Conditioning((Entry(embedding, pooled, **more),), "clip:4")


def test_an_average_lies_between_token_by_token():
    one, other = torch.ones(1, 2, 4), torch.full((1, 3, 4), 5.0)
    made = conditioning.average(of(one, torch.zeros(1, 4)), of(other, torch.ones(1, 4)), 0.25).entries[0]
    assert torch.equal(made.embedding[:, :2], torch.full((1, 2, 4), 2.0))
    assert torch.equal(made.embedding[:, 2:], torch.full((1, 1, 4), 1.25))
    assert torch.equal(made.pooled, torch.full((1, 4), 0.25))
    assert torch.equal(conditioning.average(of(one), of(one), 0.7).entries[0].embedding, one)


def test_a_concatenation_is_one_after_the_other():
    one, other = torch.ones(1, 2, 4), torch.zeros(1, 3, 4)
    made = conditioning.concat(of(one, torch.ones(1, 4)), of(other, torch.zeros(1, 4))).entries[0]
    assert torch.equal(made.embedding, torch.cat([one, other], dim=1))
    assert torch.equal(made.pooled, torch.ones(1, 4))


@pytest.mark.parametrize("function", [conditioning.average, conditioning.concat])
def test_what_blending_would_lose_is_refused(function):
    bare, state = of(torch.ones(1, 2, 4)), torch.ones(1, 2, 4)
    with pytest.raises(WeftError, match="is 2 prompts already"):
        function(bare, text.combine(bare, bare))
    with pytest.raises(WeftError, match="has a place or a range"):
        function(of(state, area=(0, 0, 0.5, 1)), bare)
    late = Conditioning((Entry(Ref("e"), start=0.5),))
    with pytest.raises(WeftError, match="has a place or a range") as caught:
        conditioning.single(first=bare, second=late)
    assert caught.value.problem.where.socket == "second"


def test_a_schedule_leaves_no_step_without_a_prompt_and_none_with_two():
    made = conditioning.schedule(*(Conditioning((Entry(Ref(name)),)) for name in "abc"), at="0.3, 0.55")
    for total in (1, 3, 7, 10, 19):
        acting = [entries_at(made, index, total) for index in range(total)]
        assert all(len(entries) == 1 for entries in acting)
    assert [entries_at(made, index, 10)[0].embedding.id for index in range(10)] == list("aaabbbcccc")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("0.5, 0.6", "2 prompts change 1 times, 'at' has 2 fractions"),
        ("half", "'half' is no list of fractions"),
        ("0", "does not rise between 0 and 1"),
        ("1.2", "does not rise between 0 and 1"),
    ],
)
def test_a_schedule_that_makes_no_sense_says_so(at, said):
    one = Conditioning((Entry(Ref("a")),))
    with pytest.raises(WeftError, match=said) as caught:
        conditioning.schedule(one, one, at=at)
    assert caught.value.problem.where.socket == "at"
    with pytest.raises(WeftError, match="two prompts or more"):
        conditioning.schedule(one)


def test_a_later_change_of_a_schedule_keeps_the_names_of_the_early_steps():
    space = LatentSpace("sd1", 4, 8)
    model = Denoiser(Weights("w", "unet", ""), "sd1", space)

    def chain(*names, at):
        pros = conditioning.schedule(*(Conditioning((Entry(Ref(name)),)) for name in names), at=at)
        given = {"sampler": "euler", "scheduler": "normal", "steps": 10, "denoise": 1.0, "cfg": 1.0, "seed": 0}
        return active(model=model, positive=pros, latent=Ref("l"), **given)

    assert chain("a", "b", at="0.5")[:5] == chain("a", "c", at="0.5")[:5] == chain("a", "b", at="0.7")[:5]
    assert chain("a", "b", at="0.5")[5] != chain("a", "c", at="0.5")[5]


# --- each of it reaches the picture, of UNets and DiTs ---------------------------------------------------------------


class Parts:
    def __init__(self, name: str) -> None:
        self.model, encoder, _ = load.model(name)
        self.red, self.blue = (text.encode(encoder, f"a {colour} cube") for colour in ("red", "blue"))

    def sample(self, positive: Conditioning) -> torch.Tensor:
        space = self.model.space
        latent = Latent(torch.zeros(1, space.channels, 16, 16), space)
        return denoise.sample(self.model, positive, latent, seed=3, steps=4, cfg=1.0).latent.samples


@pytest.fixture(params=["sd1", "sdxl", "sd3", "flux"])
def parts(request, home):
    request.getfixturevalue(f"tiny_{request.param}")
    return Parts(f"tiny-{request.param}")


def test_every_way_to_put_prompts_together_acts_in_every_family(parts):
    red, blue = parts.red, parts.blue
    factor = parts.model.space.factor
    made = {
        "red": red,
        "blue": blue,
        "average": conditioning.average(red, blue),
        "concat": conditioning.concat(red, blue),
        "combine": text.combine(red, blue),
        "area": text.combine(red, conditioning.area(blue, width=8 * factor, height=16 * factor)),
        "schedule": conditioning.schedule(red, blue, at="0.5"),
        "zero": text.zero(red),
    }
    found = {name: parts.sample(given) for name, given in made.items()}
    assert all(one.isfinite().all() for one in found.values())
    names = sorted(found)
    for index, name in enumerate(names):
        for other in names[index + 1 :]:
            assert not torch.equal(found[name], found[other]), (name, other)


def test_pixels_are_the_fractions_of_the_canvas(parts):
    factor = parts.model.space.factor
    pixels = conditioning.area(parts.blue, x=8 * factor, width=8 * factor, height=16 * factor, weight=2.0)
    fractions = text.place(parts.blue, weight=2.0, x=0.5, width=0.5)
    assert torch.equal(parts.sample(text.combine(parts.red, pixels)), parts.sample(text.combine(parts.red, fractions)))
    assert text.place(pixels).entries[0] == replace(parts.blue.entries[0])
