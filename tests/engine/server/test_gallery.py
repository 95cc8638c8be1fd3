"""Gallery: every picture that was made, found by what it was made with, forgotten one by one."""

import pytest

from engine.errors import WeftError
from engine.server.shapes import Axis, Sweep
from tests.engine.server.test_items import box, document


def work(title="squares", **values):
    return document({"square": box("paint.square", **values)}, outputs={"out": "square"}, title=title)


def finish(weft, *args, **more):
    return weft.wait(weft.submit(*args, **more).id)


def widths(weft, *args, **more):
    return [picture.width for picture in weft.gallery(*args, **more).pictures]


def test_pictures_come_newest_first_page_by_page_and_each_knows_its_job_and_item(weft):
    first = finish(weft, work(side=2))
    swept = finish(weft, work(), sweep=Sweep([Axis(["square.side"], [5, 6, 7])]))
    finish(weft, work(side=3))
    page = weft.gallery(limit=2)
    assert [p.width for p in page.pictures] == [3, 5, 6, 7], "a job's pictures stay together"
    assert [(p.job, p.item) for p in page.pictures[1:]] == [(swept.id, 0), (swept.id, 1), (swept.id, 2)]
    rest = weft.gallery(before=page.next)
    assert [(p.width, p.job, p.item) for p in rest.pictures] == [(2, first.id, None)] and rest.next is None


def test_every_word_has_to_be_in_what_the_picture_was_made_with(weft):
    finish(weft, work(title="Größe", side=2, colour="red"))
    finish(weft, work(side=3, colour="blue"))
    finish(weft, work(colour="green"), sweep=Sweep([Axis(["square.colour"], ["blue", "white"])]))
    assert widths(weft, "größe") == [2]
    assert len(widths(weft, "BLUE")) == 2 and len(widths(weft, "blue 3")) == 1
    assert len(widths(weft, "white")) == 1, "an item is found by its own value"
    assert widths(weft, "green") == [], "and not by the one it had not"
    assert len(widths(weft, "paint.square")) == 4
    assert widths(weft, "inputs") == [], "a word of the file format is no word of the picture"


def test_the_favourites_are_those_that_the_editor_has_starred(weft):
    finish(weft, work(side=2))
    finish(weft, work(side=3))
    starred = weft.gallery().pictures[1]
    assert widths(weft, favourites=True) == []
    weft.settings({"favourites": [starred.blob]})
    assert widths(weft, favourites=True) == [2]


def test_one_picture_of_many_is_forgotten_alone_and_the_job_goes_with_the_last(weft):
    job = finish(weft, work(), sweep=Sweep([Axis(["square.side"], [5, 6])]))
    five, six = weft.gallery().pictures
    weft.forget_picture(job.id, 0)
    assert widths(weft) == [6]
    with pytest.raises(WeftError):
        weft.picture(five.blob)
    assert weft.picture(six.blob)
    assert weft.job(job.id).counts == {"succeeded": 2}
    weft.forget_picture(job.id, 1)
    with pytest.raises(WeftError, match="no job"):
        weft.job(job.id)
    with pytest.raises(WeftError, match="no job"):
        weft.forget_picture(job.id)
