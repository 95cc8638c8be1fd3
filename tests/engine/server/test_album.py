"""A plan shows the pictures that its values were seen as before, and would be seen as again."""

from engine.server.album import KEPT, SPARE, Album
from engine.server.blobs import Blobs
from engine.server.shapes import Blob
from engine.server.store import Store
from tests.engine.flows import box
from tests.engine.server.painted import document
from tests.engine.server.test_door import Caller


def work(colour="red"):
    nodes = {"paint": box("paint.square", colour=colour), "save": box("paint.save", picture="@paint", name=colour)}
    return document(nodes, outputs={"o": "paint"})


def seen(client, workflow):
    return {
        step.path: [one.blob for one in step.pictures["out"]] for step in client.plan(workflow).steps if step.pictures
    }


def test_an_edit_that_goes_back_to_what_was_seen_shows_its_picture_and_runs_nothing(servers):
    first = servers.start()
    assert seen(first.client, work()) == {}
    job = first.client.wait(first.client.submit(work()).id)
    [red] = job.outputs["o"]
    assert seen(first.client, work()) == {"paint": [red.blob]}
    assert seen(first.client, work("blue")) == {}
    servers.stop(first)
    assert seen(servers.start().client, work()) == {"paint": [red.blob]}, "also after a restart"


def test_a_picture_that_was_deleted_is_shown_no_more(running, weft):
    job = weft.wait(weft.submit(work()).id)
    assert Caller(running)("DELETE", f"/api/history/{job.id}")[0] == 200
    assert seen(weft, work()) == {}


def test_what_one_user_saw_is_not_told_to_another(tmp_path):
    blobs = Blobs(tmp_path)
    album = Album(Store(), blobs)
    picture = Blob(blobs.put(b"bytes", "png"), 4, 4)
    album.keep("ada", "name", [picture])
    assert album.find("ada", ["name", ""]) == {"name": [picture]}
    assert album.find("ben", ["name"]) == {} == album.find("", ["name"])


def test_the_album_is_bounded_and_forgets_the_oldest(tmp_path):
    blobs = Blobs(tmp_path)
    album = Album(Store(), blobs)
    picture = [Blob(blobs.put(b"bytes", "png"), 4, 4)]
    for number in range(KEPT + SPARE + 1):
        album.keep("", str(number), picture)
    assert album.store.select("SELECT count(*) FROM seen") == [(KEPT,)]
    assert not album.find("", ["0"]) and album.find("", [str(KEPT + SPARE)])
