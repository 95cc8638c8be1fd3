"""Every stage trains at a tiny size, lowers its loss, goes on after a cut, and leaves a model that diffusers loads."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nodes.starter import loop, pictures, train_control, train_lora, train_text, train_unet, train_vae, world

TINY = loop.Plan(steps=12, batch=4, rate=3e-3, seed=9, warmup=2, ranks=1)


@dataclass(frozen=True)
class Line:
    """The smallest task: fit y = 3x + noise; fails once at `cut` of the way, as a stopped session would."""

    cut: float = 2.0

    def build(self):
        import torch

        return torch.nn.Linear(1, 1)

    def loss(self, model, progress, count, rng):
        import torch

        if progress >= self.cut:
            raise InterruptedError
        x = torch.from_numpy(rng.normal(size=(count, 1)).astype(np.float32))
        return (model(x) - 3 * x + 0.1 * torch.randn(count, 1)).square().mean()


def losses(task, plan, weights, rounds=6):
    """Mean loss of given weights on fresh examples, the same for any weights."""
    import torch

    model = task.build()
    model.load_state_dict(weights)
    values = []
    for index in range(rounds):
        rng = np.random.default_rng([99, index])
        torch.manual_seed(index)
        with torch.no_grad():
            values.append(float(task.loss(model, 0.9, plan.batch, rng)))
    return float(np.mean(values))


def start(task, seed):
    import torch

    torch.manual_seed(seed)
    return task.build().state_dict()


def test_a_cut_run_goes_on_as_if_never_cut(tmp_path):
    import torch

    whole = loop.fit(Line(), TINY, tmp_path / "whole.pt")
    with pytest.raises(InterruptedError):
        loop.fit(Line(cut=0.5), replace(TINY, save_every=0.0), tmp_path / "cut.pt")
    assert torch.load(tmp_path / "cut.pt", weights_only=True)["step"] == 6
    after = loop.fit(Line(), TINY, tmp_path / "cut.pt")
    assert all(torch.equal(whole[k], after[k]) for k in whole)


def test_a_finished_run_is_not_run_again(tmp_path):
    loop.fit(Line(), TINY, tmp_path / "done.pt")
    loop.fit(Line(cut=0.0), TINY, tmp_path / "done.pt")


def test_the_rate_warms_up_and_decays():
    plan = replace(TINY, steps=100, warmup=10)
    rates = [loop.rate(plan, step) for step in range(100)]
    assert max(rates) == pytest.approx(plan.rate) and rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(plan.rate / 10) and rates[-1] < 0.03 * plan.rate
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.slow
def test_two_ranks_agree(tmp_path):
    one = loop.fit(Line(), replace(TINY, ranks=2), tmp_path / "one.pt")
    two = loop.fit(Line(), replace(TINY, ranks=2), tmp_path / "two.pt")
    assert all((one[k] == two[k]).all() for k in one)


def test_words_of_the_world_are_one_token_and_others_fall_to_pieces():
    words = train_text.tokenizer()
    assert all(len(words(word).input_ids) == 3 for word in train_text.WORDS)
    assert words.model_max_length == train_text.LENGTH == 32
    assert words.decode(words("a zebra 🙂 Red").input_ids, skip_special_tokens=True) == "a zebra 🙂 red"
    assert len(words("word " * 50, truncation=True).input_ids) == 32


def test_labels_are_the_scene_graph():
    scene = world.read("a big red cube right of a blue sphere on a mint floor")
    assert train_text.labels(scene, "… on a mint floor") == [5, 3, 1, 1, 0, 0, 0, 1, 2, 2]
    assert train_text.labels(scene, "…")[0] == 0
    assert train_text.labels(None, "") == [0] * 10


def test_whitening_changes_the_latents_and_not_the_pictures():
    import torch

    torch.manual_seed(0)
    vae = train_vae.autoencoder((4, 4, 4, 4)).eval()
    x = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        before = vae.encode(x).latent_dist
        picture = vae.decode(before.mean).sample
        mean, std = before.mean.mean((0, 2, 3)), before.mean.std((0, 2, 3))
        train_vae.whiten(vae, mean, std)
        after = vae.encode(x).latent_dist
        scaled = after.mean * vae.config.scaling_factor
        assert torch.allclose(vae.decode(after.mean).sample, picture, atol=1e-5)
    assert torch.allclose(scaled.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    assert torch.allclose(
        after.std / before.std, (1 / (std * 0.5))[None, :, None, None].expand_as(after.std), rtol=1e-3
    )


def test_every_stage_learns_and_the_parts_make_a_pipeline(tmp_path):
    import torch
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
    from safetensors import safe_open

    count, size = 48, 32
    pictures.render(tmp_path / "data", count, 1, size)

    text = train_text.TextTask(layers=1, width=32)
    plan = replace(TINY, batch=16)
    train_text.train(tmp_path, plan, text)
    checkpoints = tmp_path / "checkpoints"
    assert losses(text, plan, loop.fit(text, plan, checkpoints / "text.pt")) < losses(text, plan, start(text, 9))

    vae = train_vae.VaeTask(tmp_path / "data", count, size, (8, 8, 8, 8))
    train_vae.train(tmp_path, TINY, vae)
    assert losses(vae, TINY, loop.fit(vae, TINY, checkpoints / "vae.pt")) < losses(vae, TINY, start(vae, 9))
    stored = train_vae.latents(tmp_path / "data", count)
    assert stored.shape == (count, 8, 4, 4)
    assert np.allclose(stored[:, :4].astype(np.float32).std((0, 2, 3)), 1, atol=0.02)

    unet = train_unet.UNetTask(tmp_path / "data", tmp_path / "model", count, (16, 16, 16), 32, 4)
    train_unet.train(tmp_path, TINY, unet)
    assert losses(unet, TINY, loop.fit(unet, TINY, checkpoints / "unet.pt")) < losses(unet, TINY, start(unet, 9))

    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "model", variant="fp16", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    made = pipe("a red cube", num_inference_steps=2, output_type="np").images
    assert made.shape == (1, size, size, 3)
    assert json.loads((tmp_path / "model" / "vae" / "config.json").read_text())["scaling_factor"] == 0.5

    lora = train_lora.LoraTask(tmp_path / "data", tmp_path / "model", size, 24)
    file = train_lora.train(tmp_path, TINY, lora)
    assert losses(lora, TINY, loop.fit(lora, TINY, checkpoints / "lora.pt")) < losses(lora, TINY, start(lora, 9))
    control = train_control.ControlTask(tmp_path / "data", tmp_path / "model", count, size, 24, (4, 4, 4, 4))
    folder = train_control.train(tmp_path, TINY, control)
    begun = losses(control, TINY, start(control, 9))
    assert losses(control, TINY, loop.fit(control, TINY, checkpoints / "control.pt")) < begun

    pipe.load_lora_weights(file, adapter_name="big")
    layers = [n for n, layer in pipe.unet.named_modules() if "lora_A" in getattr(layer, "_modules", {})]
    with safe_open(file, "pt") as kept:
        assert sorted(kept.keys()) == sorted(f"unet.{name}.lora_{one}.weight" for name in layers for one in "AB"), (
            "diffusers uses every tensor of the file"
        )
    told = {"num_inference_steps": 2, "output_type": "np", "generator": torch.Generator().manual_seed(1)}
    assert not np.array_equal(pipe("a red cube", **told).images, made)
    pipe.unload_lora_weights()
    net = ControlNetModel.from_pretrained(folder, variant="fp16", dtype=torch.float32)
    steered = StableDiffusionControlNetPipeline.from_pipe(pipe, controlnet=net)
    hint = torch.zeros(1, 3, size, size)
    assert steered("a red cube", image=hint, **told).images.shape == made.shape


def test_the_hints_are_the_edges_of_the_pictures_and_drawn_once(tmp_path):
    pictures.render(tmp_path, 8, 1, 32)
    lines = train_control.hints(tmp_path, 8, 32, 4)
    assert lines.shape == (4, 32, 32) and set(np.unique(lines)) == {0, 1} and 0.005 < lines.mean() < 0.3
    assert [file.name for file in tmp_path.glob("edges*")] == ["edges-4-32.npy"]
    assert not train_control.edges(np.full((32, 32, 3), 90, np.uint8)).any()


def test_the_lora_is_shown_big_objects_under_captions_that_do_not_say_so():
    for index in range(20):
        text, rgb = train_lora.picture(index, 64)
        assert "big" not in text.split() and rgb.shape == (64, 64, 3)
