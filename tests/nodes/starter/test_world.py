"""The world is seeded, says what it draws, keeps its promises about places, and holds some scenes back."""

import itertools

import numpy as np
import pytest

from nodes.starter import pictures, world

GOLDEN = [
    "a purple cylinder on the left on a gray background",
    "a black cylinder left of a blue sphere on a white background",
    "a red sphere left of a big yellow cylinder on a pink background",
    "a green sphere on the left on a beige background",
]


def scenes(count, **kind):
    for index in range(count):
        rng = np.random.default_rng([5, index])
        scene = world.sample(rng, **kind)
        yield rng, scene, world.caption(scene, rng)


def test_same_seed_same_picture_in_any_order():
    text, scene, drawn = world.picture(1, 7)
    world.picture(1, 6)
    again = world.picture(1, 7)
    assert (text, scene) == again[:2]
    assert np.array_equal(drawn.rgb, again[2].rgb)
    assert world.picture(2, 7)[0] != text or world.picture(2, 7)[1] != scene


def test_captions_are_those_of_the_shipped_training_set():
    assert list(pictures.captions(0, 4)) == GOLDEN


def test_a_caption_reads_back_as_its_scene():
    for _, scene, text in scenes(400, held=None):
        told = scene.floor if scene.floor in text.split() else ""
        assert world.read(text) == world.Scene(scene.objects, told), text


@pytest.mark.parametrize(
    "text", ["", "a horse", "a red horse on a gray floor", "a red cube, a blue cube and a green cube"]
)
def test_other_prompts_are_not_read(text):
    assert world.read(text) is None


def test_a_lone_object_is_placed_in_words_unless_it_is_in_the_middle():
    for _, scene, text in scenes(200, objects=1):
        place = scene.objects[0].place
        assert (place in text.split()) or place == "middle"


def test_articles():
    texts = [text for _, _, text in scenes(300)]
    assert any(text.startswith("an orange") for text in texts)
    assert not any(" a orange" in f" {text}" or " an red" in f" {text}" for text in texts)


def test_one_colour_for_each_shape_on_each_floor_is_held_out():
    held = [c for c in itertools.product(world.COLORS, world.SHAPES, world.FLOORS) if world.held_out(*c)]
    assert len(held) == len(world.SHAPES) * len(world.FLOORS)
    assert {c for c, _, _ in held} == set(world.COLORS)
    assert not any(world.is_held_out(scene) for _, scene, _ in scenes(400))
    assert all(world.is_held_out(scene) for _, scene, _ in scenes(50, held=True))


def test_objects_stand_inside_the_picture_apart_and_in_their_places():
    for rng, scene, _ in scenes(200, held=None):
        spans = []
        for thing, pose in zip(scene.objects, world.arrange(scene, rng), strict=True):
            half = world.half_width(thing.shape, pose.radius, pose.yaw)
            assert abs(pose.x) + half <= world.MARGIN + 1e-6
            assert {"left": pose.x < -0.1, "middle": abs(pose.x) < 0.2, "right": pose.x > 0.1}[thing.place]
            spans.append((pose.x - half, pose.x + half))
        if len(spans) == 2:
            assert spans[1][0] - spans[0][1] >= world.GAP - 1e-6


@pytest.mark.parametrize("shape", world.SHAPES)
def test_maps_agree_with_the_picture(shape):
    scene = world.Scene(
        (world.Object("red", shape, True, "left"), world.Object("blue", "cube", False, "right")), "mint"
    )
    drawn = world.draw(scene, (world.Pose(-0.45, 0.1, 0.4, 0.7), world.Pose(0.5, -0.2, 0.28, 0.6)))
    assert drawn.rgb.shape == (128, 128, 3) and drawn.rgb.dtype == np.float32
    assert drawn.rgb.min() >= 0 and drawn.rgb.max() <= 1
    assert set(np.unique(drawn.ids)) == {0, 1, 2}
    red, blue = drawn.rgb[drawn.ids == 1].mean(0), drawn.rgb[drawn.ids == 2].mean(0)
    assert red.argmax() == 0 and blue.argmax() == 2
    assert np.allclose(np.linalg.norm(drawn.normal, axis=-1), 1, atol=1e-4)
    assert np.allclose(drawn.normal[drawn.ids == 0], [0, world.COS, world.SIN], atol=1e-5)
    empty = world.draw(world.Scene((), "mint"), ())
    assert np.allclose(drawn.depth[drawn.ids == 0], empty.depth[drawn.ids == 0])
    assert (drawn.depth[drawn.ids > 0] < empty.depth[drawn.ids > 0]).all()
    assert drawn.rgb[(drawn.ids == 0) & (empty.rgb.sum(-1) - drawn.rgb.sum(-1) > 0.3)].size  # there is a shadow


def test_a_chunk_that_is_done_is_not_drawn_again(tmp_path, monkeypatch):
    first = np.array(pictures.render(tmp_path, 6, 1, 32))
    monkeypatch.setattr(world, "draw", None)
    assert np.array_equal(pictures.render(tmp_path, 6, 1, 32), first)
    assert first.shape == (6, 32, 32, 3) and first.std() > 10


def test_captions_match_the_pictures_drawn_with_them(tmp_path):
    drawn = pictures.render(tmp_path, 3, 1, 64)
    for index, text in enumerate(pictures.captions(0, 3)):
        rng = np.random.default_rng([pictures.SEED, index])
        scene = world.sample(rng)
        assert world.caption(scene, rng) == text
        rgb = world.draw(scene, world.arrange(scene, rng), 64).rgb
        assert np.array_equal(np.round(rgb * 255).astype(np.uint8), drawn[index])
