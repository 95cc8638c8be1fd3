"""What a job with items would cost, told before it is sent."""

from engine.server.shapes import Axis, Batch, Sweep
from tests.engine.flows import box
from tests.engine.server.painted import document

PICKED = {"square": box("paint.square"), "pick": box("paint.pick", picture="@square")}


def test_what_items_share_is_counted_once_and_what_is_known_not_at_all(weft):
    work = document(PICKED, outputs={"image": "pick"})
    axes = Sweep([Axis(["square.colour"], ["red", "blue"]), Axis(["pick.side"], [2, 3, 4])])
    told = weft.forecast(work, sweep=axes)
    assert (told.items, told.looked) == (6, 6)
    assert (told.nodes, told.run) == (8, 8), "two squares, six sizes of them"
    assert told.problems == []
    weft.wait(weft.submit(work, sweep=Sweep([Axis(["pick.side"], [2, 3])])).id)
    told = weft.forecast(work, sweep=axes)
    assert (told.nodes, told.run) == (8, 5), "the red square in two sizes is there"


def test_a_forecast_draws_no_seed_and_its_cost_of_many_goes_on_like_that_of_the_first(weft):
    work = document({"dots": box("paint.dots", seed="random")}, outputs={"image": "dots"})
    before = weft.plan(work).drawn["dots.seed"]
    told = weft.forecast(work, batch=Batch(640, "dots.seed"))
    assert (told.items, told.looked, told.run) == (640, 64, 640)
    assert weft.plan(work).drawn["dots.seed"] == before
    assert weft.submit(work, batch=Batch(1, "dots.seed")).items[0].set["dots.seed"] == before


def test_what_is_wrong_with_the_items_is_told_instead_of_a_cost(weft):
    work = document(PICKED, outputs={"image": "pick"})
    told = weft.forecast(work, sweep=Sweep([Axis(["pick.nothing"], [1])]))
    assert told.items == 0 and "pick.nothing" in told.problems[0].message
