"""Jobs with items: one request, many runs that share what they have in common."""

import asyncio
import time

import pytest

from engine.errors import WeftError
from engine.server.shapes import Axis, Batch, ResultRef, Sweep
from tests.engine import toys
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.painted import document

DOTS = {"dots": box("paint.dots", seed=40)}
PICKED = {"square": box("paint.square"), "pick": box("paint.pick", picture="@square")}
STEPS = {"steps": box("paint.steps", seed="random"), "save": box("paint.save", picture="@steps", _title="Save")}


def waiting(weft, job):
    done = weft.wait(job.id)
    return done, [item.set for item in done.items], [item.state for item in done.items]


def watch(weft, running, job):
    """The job's events from the first to the last."""
    found = []
    for event in weft.events(0, running.server.house.hub.epoch):
        if event.get("job") == job.id:
            found.append(event)
            if event["event"] == "job_finished":
                return found
    return found


def test_a_batch_counts_its_seed_up_and_every_item_has_its_own_picture(weft):
    work = document(DOTS, outputs={"image": "dots"})
    job, sets, states = waiting(weft, weft.submit(work, batch=Batch(3, "dots.seed")))
    assert job.state == "succeeded" and states == ["succeeded"] * 3 and job.fraction == 1.0
    assert sets == [{"dots.seed": 40}, {"dots.seed": 41}, {"dots.seed": 42}]
    assert [item.label for item in job.items] == ["seed 40", "seed 41", "seed 42"]
    [first] = job.items[0].outputs
    assert (first.node, first.output, first.name, first.kind) == ("dots", "out", "image", "image")
    assert first.url == f"/api/blobs/{first.blob}" and weft.picture(first.blob).startswith(b"\x89PNG")
    assert len({item.outputs[0].blob for item in job.items}) == 3
    assert [blob.blob for blob in job.outputs["image"]] == [item.outputs[0].blob for item in job.items]


def test_a_batch_of_a_seed_that_is_random_begins_with_the_one_that_the_plan_showed(weft):
    work = document({"dots": box("paint.dots", seed="random")}, outputs={"image": "dots"})
    shown = weft.plan(work).drawn["dots.seed"]
    job = weft.submit(work, batch=Batch(2, "dots.seed"))
    assert [item.set["dots.seed"] for item in job.items] == [shown, shown + 1]
    assert weft.plan(work).drawn["dots.seed"] != shown, "the next run draws another"
    drawn = weft.submit(work, batch=Batch(3, "dots.seed", "random")).items
    assert len({item.set["dots.seed"] for item in drawn}) == 3
    kept = weft.submit(work, batch=Batch(3, "dots.seed", "fixed")).items
    assert len({item.set["dots.seed"] for item in kept}) == 1


def test_a_parameter_names_the_seed_of_a_batch_and_seeds_beyond_the_browsers_stay_exact(weft):
    big = 2**63
    work = document(DOTS, parameters={"seed": {"to": ["dots.seed"], "default": big}}, outputs={"image": "dots"})
    job = weft.wait(weft.submit(work, batch=Batch(2)).id)
    assert [int(item.set["dots.seed"]) for item in job.items] == [big, big + 1]


def test_a_sweep_is_every_combination_with_the_last_axis_running_fastest(weft):
    sweep = Sweep([Axis(["square.colour"], ["red", "blue"], "Colour"), Axis(["pick.side"], [2, 3])])
    job, sets, _ = waiting(weft, weft.submit(document(PICKED, outputs={"image": "pick"}), sweep=sweep))
    assert [(one["square.colour"], one["pick.side"]) for one in sets] == [
        ("red", 2),
        ("red", 3),
        ("blue", 2),
        ("blue", 3),
    ]
    assert job.items[1].label == "Colour red · pick.side 3"
    assert job.sweep == sweep, "who comes later can lay the grid out again"
    assert toys.COUNT["square"] == 2, "what items have in common is computed once"


def test_rows_set_parameters_or_inputs_and_each_keeps_the_base_for_what_it_leaves_out(weft):
    work = document(
        PICKED, parameters={"colour": {"to": ["square.colour"], "required": True}}, outputs={"image": "pick"}
    )
    rows = [{"colour": "red", "pick.side": 2}, {"colour": "lime"}]
    job, sets, states = waiting(weft, weft.submit(work, set={"pick.side": 5}, rows=rows))
    assert sets == [{"square.colour": "red", "pick.side": 2}, {"square.colour": "lime"}]
    assert states == ["succeeded"] * 2
    assert [item.outputs[0].width for item in job.items] == [2, 5]


def test_events_of_an_item_carry_its_number_and_the_job_ends_exactly_once(weft, running):
    weft.queue(paused=True)
    job = weft.submit(document(DOTS, outputs={"image": "dots"}), batch=Batch(2, "dots.seed"))
    weft.queue(paused=False)
    seen = watch(weft, running, job)
    kinds = [event["event"] for event in seen]
    assert kinds[0] == "job_queued" and seen[0]["items"] == 2 and kinds[-1] == "job_finished"
    assert kinds.count("job_started") == 1 and kinds.index("job_started") < kinds.index("item_started")
    assert seen[-1]["items"] == {"succeeded": 2}
    for number in (0, 1):
        mine = [event["event"] for event in seen if event.get("item") == number]
        assert mine[0] == "item_started" and mine[-1] == "item_finished" and mine.count("item_finished") == 1
        assert "step_pictures" in mine
    ends = [event for event in seen if event["event"] == "item_finished"]
    assert ends[0]["outputs"][0]["url"].startswith("/api/blobs/") and ends[0]["set"]


def test_what_is_wrong_with_one_item_alone_fails_that_one(weft):
    work = document(PICKED, outputs={"image": "pick"})
    sweep = Sweep([Axis(["pick.side"], [2, 3, 4])])
    job, _, states = waiting(weft, weft.submit(work, set={"pick.only": 3}, sweep=sweep))
    assert states == ["failed", "succeeded", "failed"] and job.state == "partial"
    assert job.items[0].error.code == "node.raised" and "not 2" in job.items[0].error.message
    assert job.counts == {"failed": 2, "succeeded": 1}
    assert weft.history()[0].counts == job.counts, "the list has the counts, and not the items"
    assert weft.history()[0].items is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"batch": Batch(2, "dots.seed"), "rows": [{}]}, "one of batch and rows"),
        ({"batch": Batch(2, "dots.sead")}, "Did you mean 'dots.seed'"),
        ({"batch": Batch(2)}, "no parameter 'seed'; it has dots.seed"),
        ({"batch": Batch(0, "dots.seed")}, "1 to 1,000 items"),
        ({"batch": Batch(1001, "dots.seed")}, "1 to 1,000 items"),
        ({"sweep": Sweep([])}, "1 to 3 axes"),
        ({"sweep": Sweep([Axis(["dots.seed"], [])])}, "axis 0 has no values"),
        ({"sweep": Sweep([Axis([], [1])])}, "axis 0 sets no input"),
        ({"rows": [{"dots.seed": 1}, {"dots.seed": "many"}]}, "item 1"),
        ({"rows": [{"nothing": 1}]}, "no parameter 'nothing'"),
        ({"stop": {"dots": 3}}, "'dots' cannot be stopped early"),
    ],
)
def test_items_that_make_no_sense_are_refused_and_nothing_is_queued(weft, more, says):
    with pytest.raises(WeftError) as caught:
        weft.submit(document(DOTS, outputs={"image": "dots"}), **more)
    assert says in str(caught.value)
    assert weft.jobs() == []


def test_items_are_cancelled_one_by_one_and_the_others_go_on(weft):
    work = document({"make": box("toy.make"), "gate": box("toy.gate", thing="@make", name="g")})
    job = weft.submit(work, rows=[{"make.text": text} for text in "abcd"])
    assert gate("g").reached.wait(10)
    now = weft.cancel(job.id, [3])
    assert now.items[3].state == "cancelled" and now.state == "running"
    with pytest.raises(WeftError, match="no item 9"):
        weft.cancel(job.id, [9])
    gate("g").open.set()
    done = weft.wait(job.id)
    assert [item.state for item in done.items] == ["succeeded"] * 3 + ["cancelled"] and done.state == "partial"


def test_a_job_that_is_cancelled_as_a_whole_ends_all_of_its_items(weft):
    work = document({"make": box("toy.make"), "gate": box("toy.gate", thing="@make", name="h")})
    job = weft.submit(work, rows=[{"make.text": text} for text in "abcd"])
    assert gate("h").reached.wait(10)
    weft.cancel(job.id)
    done = weft.wait(job.id)
    assert done.state == "cancelled" and {item.state for item in done.items} == {"cancelled"}
    assert weft.wait(weft.submit(document(DOTS)).id).state == "succeeded"


def test_retry_is_a_new_job_of_what_did_not_succeed_with_the_same_values(weft):
    work = document(PICKED, outputs={"image": "pick"})
    job = weft.wait(weft.submit(work, set={"pick.only": 3}, sweep=Sweep([Axis(["pick.side"], [2, 3])])).id)
    again = weft.retry(job.id)
    assert again.of == job.id and [item.set for item in again.items] == [{"pick.side": 2}]
    assert weft.wait(again.id).state == "failed"
    chosen = weft.retry(job.id, [1], key="k")
    assert weft.retry(job.id, [1], key="k").id == chosen.id
    assert weft.wait(chosen.id).state == "succeeded"
    with pytest.raises(WeftError, match="no item 7"):
        weft.retry(job.id, [7])
    with pytest.raises(WeftError, match="every item of the job succeeded"):
        weft.retry(chosen.id)
    single = weft.wait(weft.submit(document({"dots": box("paint.dots", seed="random")}, outputs={"o": "dots"})).id)
    twin = weft.wait(weft.retry(single.id).id)
    assert twin.outputs == single.outputs and twin.drawn == single.drawn


def test_a_cull_saves_nothing_and_finishing_carries_the_chosen_to_the_end(weft, home):
    work = document(STEPS, outputs={"image": "save"})
    culled = weft.wait(weft.submit(work, batch=Batch(3, "steps.seed"), stop={"steps": 1}).id)
    assert culled.state == "succeeded" and culled.files == [] and culled.stop == {"steps.stop_step": 1}
    assert [item.outputs[0].width for item in culled.items] == [1, 1, 1]
    assert not (home.output / "square.png").exists()
    done = weft.wait(weft.finish(culled.id, [2]).id)
    assert done.state == "succeeded" and done.files == ["square.png"] and done.of == culled.id
    assert done.items[0].set == culled.items[2].set and done.items[0].outputs[0].width == 4
    other = weft.wait(weft.finish(culled.id, [0], {"steps.steps": 6}).id)
    assert other.items[0].outputs[0].width == 6
    with pytest.raises(WeftError, match="did not stop early"):
        weft.finish(done.id)
    one = weft.wait(weft.submit(work, stop={"steps": 2}).id)
    assert len(one.items) == 1 and one.items[0].outputs[0].width == 2


def test_clients_take_turns_whatever_one_of_them_sends(running):
    from engine.client import AsyncClient

    async def order():
        async with AsyncClient(running.address.url) as weft:
            await weft.queue(paused=True)
            work = document({"make": box("toy.make")})
            many = await weft.submit(work, rows=[{"make.text": f"m{n}"} for n in range(6)])
            headers = {"X-Weft-Client": "other"}
            body = {"workflow": document({"make": box("toy.make", text="single")})}
            other = (await weft.send("POST", "/api/jobs", json=body, headers=headers))[0]
            await weft.queue(paused=False)
            import json

            other_id = json.loads(other)["id"]
            await weft.wait(many.id)
            done = await weft.job(other_id)
            many = await weft.job(many.id)
            return done.started, sorted(item.started for item in many.items)

    single, items = asyncio.run(order())
    assert single <= items[2], "the other client did not wait for all of the items"


def test_a_higher_priority_goes_first_and_front_before_everything(weft):
    weft.queue(paused=True)
    works = [document({"m": box("toy.make", text=text)}) for text in "abcd"]
    low = weft.submit(works[0], priority=-5)
    plain = weft.submit(works[1])
    high = weft.submit(works[2], priority=5)
    front = weft.submit(works[3], front=True)
    order = [job.id for job in weft.state().queue.jobs]
    assert order == [front.id, high.id, plain.id, low.id]
    assert [weft.job(id).position for id in order] == [0, 1, 2, 3]
    weft.move(low.id, 1)
    assert [job.id for job in weft.state().queue.jobs] == [front.id, low.id, high.id, plain.id]


def test_items_outlive_the_server(servers):
    first = servers.start()
    work = document(
        {"dots": box("paint.dots", seed="random"), "gate": box("toy.gate", thing="@make"), "make": box("toy.make")},
        outputs={"image": "dots", "thing": "gate"},
    )
    job = first.client.submit(work, batch=Batch(5, "dots.seed"))
    assert gate("gate").reached.wait(10)
    first.client.cancel(job.id, [4])
    servers.stop(first)
    gate("gate").open.set()
    second = servers.start()
    done = second.client.wait(job.id)
    assert [item.state for item in done.items] == ["succeeded"] * 4 + ["cancelled"]
    assert [item.set for item in done.items] == [item.set for item in job.items], "no seed is drawn anew"
    servers.stop(second)
    third = servers.start()
    assert third.client.job(job.id).items == done.items
    assert len(third.client.history()) == 1


def test_the_graph_of_a_result_is_exactly_what_made_it_and_two_differ_by_what_was_set(weft):
    work = document({"dots": box("paint.dots", seed="random")}, outputs={"image": "dots"})
    job = weft.wait(weft.submit(work, batch=Batch(2, "dots.seed")).id)
    made = [weft.graph(job.id, item) for item in (0, 1)]
    seeds = [int(item.set["dots.seed"]) for item in job.items]
    assert [int(graph["nodes"]["dots"]["inputs"]["seed"]) for graph in made] == seeds
    again = weft.wait(weft.submit(made[1]).id)
    assert again.outputs["image"][0].blob == job.items[1].outputs[0].blob
    [change] = weft.diff(ResultRef(job.id, 0), ResultRef(job.id, 1))
    assert change.what == "dots.seed" and [int(change.before), int(change.after)] == seeds
    assert weft.diff(ResultRef(job.id, 1), ResultRef(workflow=made[1])) == []
    with pytest.raises(WeftError, match="no item 5"):
        weft.graph(job.id, 5)
    with pytest.raises(WeftError, match="no job 'none'"):
        weft.graph("none")


def test_the_trail_is_every_value_tried_with_all_else_equal_and_runs_nothing(weft):
    def work(**values):
        return document({"square": box("paint.square", **values), "save": box("paint.save", picture="@square")})

    for side in (2, 3, 3, 4):
        weft.wait(weft.submit(work(side=side)).id)
    weft.wait(weft.submit(work(colour="blue", side=9)).id)
    weft.wait(weft.submit(work(), sweep=Sweep([Axis(["square.side"], [5, 6])])).id)
    weft.wait(weft.submit(document({"other": box("paint.square", side=7)}, outputs={"o": "other"})).id)
    ran = toys.COUNT["square"]
    points = weft.trail(work(colour="red", side=99), "square.side")
    assert sorted(point.value for point in points) == [2, 3, 4, 5, 6] and [p.value for p in points[2:]] == [4, 3, 2]
    assert all(p.item == p.value - 5 for p in points[:2]) and all(p.item is None for p in points[2:])
    assert all(p.width == p.value and p.url.endswith(p.blob) for p in points)
    assert [point.at for point in points] == sorted((point.at for point in points), reverse=True)
    assert toys.COUNT["square"] == ran
    assert [point.value for point in weft.trail(work(side=9), "square.colour")] == ["blue"]
    with pytest.raises(WeftError, match="no input"):
        weft.trail(work(), "square.nothing")


def test_a_seed_that_will_be_drawn_equals_every_seed_in_the_trail(weft):
    nodes = {"dots": box("paint.dots", seed="random"), "pick": box("paint.pick", picture="@dots")}
    work = document(nodes, outputs={"o": "pick"})
    for side in (2, 3):
        weft.wait(weft.submit(work, set={"pick.side": side}).id)
    assert [point.value for point in weft.trail(work, "pick.side")] == [3, 2]
    assert len(weft.trail(work, "dots.seed")) == 0, "another size: not all else is equal"


def test_a_tab_is_shared_and_an_old_version_never_overwrites_a_newer_one(weft, servers, running):
    first = weft.put_tab("main", {"workflow": {"weft": 1}}, 0)
    assert first.version == 1 and weft.tab("main").body == {"workflow": {"weft": 1}}
    phone = weft.put_tab("main", {"from": "phone"}, 1)
    with pytest.raises(WeftError) as caught:
        weft.put_tab("main", {"from": "desktop"}, 1)
    assert caught.value.code == "server.changed" and weft.tab("main").body == {"from": "phone"}
    assert weft.put_tab("main", {"n": 1}).version == phone.version + 1, "without a version it is meant"
    assert [tab.name for tab in weft.tabs()] == ["main"] and weft.tabs()[0].body is None
    with pytest.raises(WeftError, match="up to 4,194,304"):
        weft.put_tab("big", {"text": "x" * 2**22})
    with pytest.raises(WeftError, match="letters, digits"):
        weft.put_tab("a b", {})
    servers.stop(running)
    again = servers.start().client
    assert again.tab("main").body == {"n": 1}
    again.close_tab("main")
    with pytest.raises(WeftError, match="no tab 'main'"):
        again.tab("main")


def test_a_thousand_items_are_accepted_in_little_time_and_told_in_little_space(weft, running):
    weft.queue(paused=True)
    work = document(DOTS, outputs={"image": "dots"})
    start = time.process_time()
    job = weft.submit(work, batch=Batch(1000, "dots.seed"))
    assert time.process_time() - start < 5 and len(job.items) == 1000
    assert weft.state().queue.jobs[0].counts == {"queued": 1000}
    assert weft.cancel(job.id).state == "cancelled"
