"""Attending: a processor's signature is taken apart once, and nothing else is different."""

import inspect

import pytest
import torch

from nodes.families import attending
from nodes.load import model


@pytest.fixture
def unet(home, tiny_sd1):
    return model("tiny-sd1").model.build("cpu", "float32")


def processors(unet):
    return list(unet.attn_processors.values())


def forward(unet):
    torch.manual_seed(1)
    x = torch.randn(1, unet.config.in_channels, 8, 8)
    text = torch.randn(1, 7, unet.config.cross_attention_dim)
    with torch.no_grad():
        return unet(x, torch.tensor(7), encoder_hidden_states=text).sample


def test_the_signature_is_the_same_and_asked_for_without_looking(unet, monkeypatch):
    assert len(processors(unet)) > 1
    for one in processors(unet):
        assert inspect.signature(one.__call__) == inspect.signature(type(one).__call__.__get__(one))
    looked = []
    monkeypatch.setattr(inspect, "_signature_from_function", lambda *_, **__: looked.append(1))
    inspect.signature(processors(unet)[0].__call__)
    assert looked == []


def test_a_forward_is_bit_equal_with_and_without(unet):
    known = forward(unet)
    attending.forget(unet)
    assert not any("__call__" in vars(one) for one in processors(unet))
    assert torch.equal(forward(unet), known)
    attending.remember(unet)
    assert torch.equal(forward(unet), known)


def test_the_compiler_meets_the_processors_as_diffusers_made_them(unet, monkeypatch):
    from nodes.families import compiling

    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    compiling.attach(unet, "default")()
    assert not any("__call__" in vars(one) for one in processors(unet))
