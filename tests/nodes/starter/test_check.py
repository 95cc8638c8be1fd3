"""The checker finds no fault with the renderer's own pictures, and each kind of wrong in wrong ones."""

from dataclasses import replace

import numpy as np
import pytest

from nodes.starter import check, world
from nodes.starter.look import look

LEFT, RIGHT = world.Object("red", "cube", False, "left"), world.Object("blue", "sphere", False, "right")
TWO = world.Scene((LEFT, RIGHT), "white")
ONE = world.Scene((world.Object("yellow", "cylinder", True, "right"),), "beige")
POSES = (world.Pose(-0.4, 0.1, 0.28, 0.8), world.Pose(0.4, -0.1, 0.28, 0.6))
BIG_POSE = (world.Pose(0.5, 0.0, 0.4, 0.5),)


def two(*objects, floor="white", poses=POSES):
    return world.draw(world.Scene(objects or TWO.objects, floor), poses[: len(objects or TWO.objects)]).rgb


def wrong(rgb, scene=TWO):
    verdict = check.judge(rgb, scene)
    return {name for name, right in vars(verdict).items() if not right}


def test_the_renderer_is_right():
    asked = list(check.prompts())[::8]
    for prompt, rgb in zip(asked, check.truth(asked), strict=True):
        verdict = check.judge(rgb, prompt.scene)
        assert verdict.all and verdict.size, prompt.text


def test_nothing_is_wrong_with_the_plain_scenes():
    assert wrong(two()) == set()
    assert wrong(world.draw(ONE, BIG_POSE).rgb, ONE) == set()
    assert check.judge(two(), TWO).all


@pytest.mark.parametrize("shape", world.SHAPES)
@pytest.mark.parametrize("color", world.COLORS)
def test_every_colour_of_every_shape_is_told(color, shape):
    for floor in list(world.FLOORS)[len(color + shape) % 2 :: 2]:
        scene = world.Scene((world.Object(color, shape, False, "middle"),), floor)
        sight = look(world.draw(scene, (world.Pose(0.05, 0.1, 0.27, 0.6),)).rgb)
        assert [(o.color, o.shape) for o in sight.objects] == [(color, shape)] and sight.floor == floor


def test_a_wrong_floor():
    assert wrong(two(floor="gray")) == {"background"}


def test_a_floor_that_was_not_asked_for_is_free():
    assert wrong(two(floor="gray"), world.Scene(TWO.objects, "")) == set()


def test_a_floor_of_no_name():
    assert "background" in wrong(np.full((128, 128, 3), (0.2, 0.5, 0.3), np.float32), world.Scene(TWO.objects, ""))


def test_one_is_missing():
    assert wrong(two(LEFT)) == {"count", "color", "shape", "position", "size"}


def test_nothing_is_there():
    empty = world.draw(world.Scene((), "white"), ()).rgb
    assert wrong(empty) == {"count", "color", "shape", "position", "size"}
    assert not check.judge(empty, TWO).all


def test_one_too_many():
    third = (*TWO.objects, world.Object("green", "sphere", False, "middle"))
    rgb = world.draw(world.Scene(third, "white"), (*POSES, world.Pose(0.0, -0.6, 0.15, 0))).rgb
    assert {"count", "color", "shape"} <= wrong(rgb)


def test_a_wrong_colour():
    assert wrong(two(replace(LEFT, color="orange"), RIGHT)) == {"color", "position"}


def test_swapped():
    assert wrong(two(replace(RIGHT, place="left"), replace(LEFT, place="right"))) == {"color", "shape", "position"}


def test_colours_swapped_between_the_shapes():
    assert wrong(two(replace(LEFT, color="blue"), replace(RIGHT, color="red"))) == {"color", "position"}


@pytest.mark.parametrize("shape", ["sphere", "cylinder"])
def test_a_wrong_shape(shape):
    assert wrong(two(replace(LEFT, shape=shape), RIGHT)) == {"shape"}


def test_a_wrong_size():
    assert wrong(two(poses=(replace(POSES[0], radius=0.4), POSES[1]))) == {"size"}
    assert check.judge(two(poses=(replace(POSES[0], radius=0.4), POSES[1])), TWO).all


def test_a_wrong_place():
    assert wrong(world.draw(ONE, (replace(BIG_POSE[0], x=-0.5),)).rgb, ONE) == {"position"}
    assert wrong(world.draw(ONE, (replace(BIG_POSE[0], x=0.0),)).rgb, ONE) == {"position"}


def test_mush_has_no_shape():
    rgb = two(RIGHT, poses=(replace(POSES[0]),))
    rgb[40:90, 20:36] = world.COLORS["blue"]  # a slab grown out of the sphere
    assert "shape" in wrong(rgb, world.Scene((RIGHT,), "white"))


def test_noise_is_all_wrong():
    noise = np.random.default_rng(0).random((128, 128, 3), dtype=np.float32)
    assert {"count", "color", "shape"} <= wrong(noise)


def test_a_little_noise_and_blur_are_forgiven():
    rng = np.random.default_rng(1)
    asked = list(check.prompts())[3::20]
    for prompt, rgb in zip(asked, check.truth(asked), strict=True):
        soft = (rgb + np.roll(rgb, 1, 0) + np.roll(rgb, 1, 1) + np.roll(rgb, (1, 1), (0, 1))) / 4
        noisy = np.clip(soft + rng.normal(0, 0.015, rgb.shape), 0, 1).astype(np.float32)
        assert check.judge(noisy, prompt.scene).all, prompt.text


def test_the_prompts_are_fixed_and_the_unseen_are_marked():
    asked = list(check.prompts())
    assert len(asked) == 200 and asked == list(check.prompts())
    for prompt in asked:
        assert world.read(prompt.text) == prompt.scene
        assert world.is_held_out(prompt.scene) == prompt.unseen
    assert sum(p.unseen for p in asked) == 70


def test_table_and_sheet(tmp_path):
    from PIL import Image

    good, bad = two(), two(floor="gray")
    verdicts = [check.judge(rgb, TWO) for rgb in (good, bad)]
    text = check.table([("both", v) for v in verdicts])
    assert "both (2)" in text and "50.0" in text and "100.0" in text
    check.sheet([good, bad], [not v.all for v in verdicts], tmp_path / "sheet.png", across=2)
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (264, 132)
