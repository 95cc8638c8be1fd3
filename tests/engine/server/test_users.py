"""Users: each with a token, a queue, folders and a quota of their own, and no sight of the others'."""

import json
import time

import pytest

from engine import cli
from engine.client import Client
from engine.errors import WeftError
from engine.server.config import Config
from engine.server.shapes import Batch, ResultRef
from engine.server.users import Quota, Users
from tests.engine.fakes import gate
from tests.engine.flows import box
from tests.engine.server.painted import document
from tests.engine.server.test_door import Caller, code

PAINT = document({"s": box("paint.square", side=5), "save": box("paint.save", picture="@s")}, outputs={"o": "s"})


class People:
    """Clients of users on one server."""

    def __init__(self, running):
        self.running = running
        self.clients = []
        self.tokens = {}

    @property
    def users(self) -> Users:
        return self.running.server.house.users

    def __call__(self, name, quota=None):
        self.tokens[name] = self.users.add(name, quota or Quota())
        client = Client(self.running.address.base, self.tokens[name], timeout=20)
        client.__enter__()
        self.clients.append(client)
        return client

    def caller(self, name):
        call = Caller(self.running)

        def ask(method, path, body=None, **more):
            return call(method, path, body, token=False, Authorization=f"Bearer {self.tokens[name]}", **more)

        return ask


@pytest.fixture
def people(running):
    running.client.state()
    made = People(running)
    yield made
    for client in made.clients:
        client.__exit__(None, None, None)


def test_a_user_comes_in_with_their_token_and_sees_only_what_is_theirs(people, weft, home):
    ann, bob = people("ann"), people("bob")
    job = ann.wait(ann.submit(PAINT).id)
    assert job.state == "succeeded" and (home.home / "users" / "ann" / "output" / "square.png").is_file()
    assert not (home.output / "square.png").exists()
    assert ann.state().user == "ann" and weft.state().user is None
    assert [one.id for one in ann.jobs()] == [job.id] == [one.id for one in ann.history()]
    assert bob.jobs() == [] == bob.history() and [one.id for one in weft.jobs()] == [job.id]
    blob = job.outputs["o"][0]
    assert ann.picture(blob) == weft.picture(blob)
    for ask in (
        lambda: bob.job(job.id),
        lambda: bob.cancel(job.id),
        lambda: bob.graph(job.id),
        lambda: bob.retry(job.id),
        lambda: bob.forget(job.id),
        lambda: bob.diff(ResultRef(job.id), ResultRef(job.id)),
        lambda: bob.picture(blob),
        lambda: bob.file("output", "square.png"),
    ):
        with pytest.raises(WeftError) as caught:
            ask()
        assert caught.value.code == "server.missing"
    assert ann.file("output", "square.png").startswith(b"\x89PNG")
    assert bob.trail(PAINT, "s.side") == [] and len(ann.trail(PAINT, "s.side")) == 1


def test_workflows_uploads_tabs_and_settings_are_each_users_own(people, weft, picture_file):
    ann, bob = people("ann"), people("bob")
    ann.save("mine", PAINT)
    ann.upload(picture_file)
    ann.put_tab("main", {"n": 1})
    ann.settings({"theme": "dark"})
    weft.settings({"theme": "light"})
    assert [row.name for row in ann.workflows() if row.origin == "yours"] == ["mine"]
    assert [row.name for row in (*bob.workflows(), *weft.workflows()) if row.origin == "yours"] == []
    assert bob.tabs() == [] == weft.tabs() and bob.settings() == {}
    assert ann.settings() == {"theme": "dark"} and weft.settings() == {"theme": "light"}
    with pytest.raises(WeftError, match="no picture"):
        bob.file("input", "red.png")
    opened = document({"o": box("paint.open", name="red.png")}, outputs={"o": "o"})
    assert ann.wait(ann.submit(opened).id).state == "succeeded"
    assert not ann.plan(opened).problems and bob.plan(opened).problems, "a plan looks where the run will look"
    with pytest.raises(WeftError, match=r"red\.png"):
        bob.submit(opened)


def test_events_of_a_user_reach_them_and_the_owner_of_the_machine_alone(people, running):
    ann, bob = people("ann"), people("bob")
    epoch = running.server.house.hub.epoch
    job = ann.wait(ann.submit(PAINT).id)
    own = bob.wait(bob.submit(PAINT).id)

    def seen(client, last):
        found = []
        for event in client.events(0, epoch):
            found.append(event.get("job"))
            if event.get("job") == last and event["event"] == "job_finished":
                return {one for one in found if one}

    assert seen(bob, own.id) == {own.id}
    assert seen(ann, job.id) == {job.id}
    assert seen(running.client, own.id) == {job.id, own.id}


def test_the_machine_is_the_owners_to_pause_and_users_step_back_but_never_before(people, weft):
    ann = people("ann")
    with pytest.raises(WeftError) as caught:
        ann.queue(paused=True)
    assert caught.value.code == "server.forbidden"
    for ask in (lambda: ann.free(values=True), ann.folders):
        with pytest.raises(WeftError) as caught:
            ask()
        assert caught.value.code == "server.forbidden"
    weft.queue(paused=True)
    owner = weft.submit(document({"m": box("toy.make", text="o")}))
    mine = [ann.submit(document({"m": box("toy.make", text=t)}), priority=50, front=True) for t in "abc"]
    assert weft.state().queue.jobs[0].id in (owner.id, mine[0].id)
    assert ann.job(mine[0].id).priority is None
    ann.move(mine[2].id, 0)
    assert [job.id for job in ann.state().queue.jobs] == [mine[2].id, mine[0].id, mine[1].id]
    assert ann.queue(clear=True).jobs == []
    assert [job.id for job in weft.state().queue.jobs] == [owner.id]


def test_users_take_turns(people, weft):
    ann, bob = people("ann"), people("bob")
    weft.queue(paused=True)
    rows = [ann.submit(document({"m": box("toy.make", text=f"a{n}")})) for n in range(6)]
    late = bob.submit(document({"m": box("toy.make", text="b")}))
    order = [job.id for job in weft.state().queue.jobs]
    assert order.index(late.id) <= 1
    weft.queue(paused=False)
    ends = [ann.wait(job.id).started for job in rows]
    assert bob.wait(late.id).started <= sorted(ends)[2]


def test_a_quota_of_jobs_bytes_and_seconds_is_kept_and_named(people, picture_file):
    ann = people("ann", Quota(jobs=1))
    gated = document({"make": box("toy.make"), "gate": box("toy.gate", thing="@make", name="q")})
    first = ann.submit(gated)
    with pytest.raises(WeftError, match="1 of your jobs wait or run, and you may have 1") as caught:
        ann.submit(PAINT)
    assert caught.value.code == "server.quota"
    gate("q").open.set()
    ann.wait(first.id)
    assert ann.wait(ann.submit(PAINT).id).state == "succeeded"

    bob = people("bob", Quota(bytes=10))
    with pytest.raises(WeftError, match="your pictures take"):
        bob.upload(picture_file)
    cid = people("cid", Quota(seconds=1))
    people.users.spent("cid", 0.5)
    assert cid.wait(cid.submit(PAINT).id).state == "succeeded"
    people.users.spent("cid", 0.6)
    with pytest.raises(WeftError, match="may for 1 s"):
        cid.submit(PAINT, batch=Batch(1, "s.side"))
    assert people.users.used("cid").seconds > 1.1


def test_what_a_job_computed_is_counted_for_its_user(people):
    ann = people("ann")
    nodes = {"s": box("paint.square"), "slow": box("paint.slow", picture="@s", name="count")}
    job = ann.submit(document(nodes, outputs={"o": "slow"}))
    assert gate("count").reached.wait(10)
    time.sleep(0.1)
    gate("count").open.set()
    ann.wait(job.id)
    assert people.users.used("ann").seconds >= 0.1


def test_a_user_who_was_removed_or_renewed_comes_in_no_more(people):
    people("ann")
    ask = people.caller("ann")
    assert ask("GET", "/api/state")[0] == 200
    entered = Caller(people.running)("GET", f"/?token={people.tokens['ann']}", token=False)
    cookie = entered[2]["Set-Cookie"].partition(";")[0]
    assert entered[0] == 303 and people.tokens["ann"] not in cookie and "HttpOnly" in entered[2]["Set-Cookie"]
    call = Caller(people.running)
    assert json.loads(call("GET", "/api/state", token=False, Cookie=cookie)[1])["user"] == "ann"
    forged = cookie.replace("ann.", "bob.")
    assert code(call("GET", "/api/state", token=False, Cookie=forged)) == (401, "server.auth")
    people.users.renew("ann")
    assert code(ask("GET", "/api/state")) == (401, "server.auth")
    assert code(call("GET", "/api/state", token=False, Cookie=cookie)) == (401, "server.auth")
    people.users.remove("ann")
    with pytest.raises(WeftError, match="no user 'ann'"):
        people.users.get("ann")


def test_a_users_work_goes_on_in_their_folders_after_a_restart(servers, home):
    first = servers.start()
    people = People(first)
    ann = people("ann")
    nodes = {
        "make": box("toy.make"),
        "gate": box("toy.gate", thing="@make", name="r"),
        "s": box("paint.square"),
        "save": box("paint.save", picture="@s", name="late"),
    }
    job = ann.submit(document(nodes, outputs={"g": "gate"}))
    assert gate("r").reached.wait(10)
    ann.__exit__(None, None, None)
    people.clients.clear()
    servers.stop(first)
    for file in home.home.rglob("late.png"):
        file.unlink()
    gate("r").open.set()
    second = servers.start()
    assert second.client.wait(job.id).state == "succeeded"
    assert (home.home / "users" / "ann" / "output" / "late.png").is_file()


def test_too_many_requests_of_a_user_or_with_a_wrong_token_are_held_up(servers):
    running = servers.start(config=Config(requests=5, failures=3, submissions=2))
    running.client.state()
    people = People(running)
    people("ann")
    ask = people.caller("ann")
    seen = [ask("GET", "/api/state")[0] for _ in range(7)]
    assert seen == [200] * 5 + [429] * 2
    call = Caller(running)
    seen = [call("GET", "/api/state", token=False, Authorization="Bearer wrong")[0] for _ in range(5)]
    assert seen == [401] * 3 + [429] * 2
    assert [call("GET", "/api/state")[0] for _ in range(9)] == [200] * 9, "the owner at the machine is not held up"
    people.clients[0].__exit__(None, None, None)
    people.clients.clear()
    running.server.house.submissions.take("bob")
    running.server.house.submissions.take("bob")
    with pytest.raises(WeftError, match="more than 2 jobs in a minute"):
        running.server.house.submissions.take("bob")


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def weft_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    monkeypatch.delenv("WEFT_TOKEN", raising=False)

    def call(*words):
        status = cli.main(list(words))
        said = capsys.readouterr()
        return status, said.out.strip(), said.err.strip()

    return call


def test_users_are_added_listed_changed_and_removed_from_the_command_line(weft_command):
    assert weft_command("users")[2] == "there are no users: weft users add NAME"
    status, token, err = weft_command("users", "add", "ann", "--jobs", "20", "--bytes", "1.5G")
    assert status == 0 and token.startswith("weft_user_") and "not shown again" in err
    assert "ann  jobs 0 of 20 · 0.0 MB of 1,536 · 0 s today" in weft_command("users")[1]
    row = json.loads(weft_command("users", "quota", "ann", "--seconds", "60", "--json")[1])[0]
    assert row["quota"] == {"jobs": 20, "bytes": 1536 * 2**20, "seconds": 60}
    assert weft_command("users", "renew", "ann")[1] != token
    assert weft_command("users", "remove", "ann")[0] == 0
    assert weft_command("users", "list", "--json")[1] == "[]"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["users", "add"], "needs a NAME"),
        (["users", "add", "../evil"], "cannot be a user's name"),
        (["users", "remove", "nobody"], "no user 'nobody'"),
        (["users", "add", "ann", "--bytes", "lots"], "no size"),
        (["users", "ad", "ann"], "there is no 'weft ad'"),
    ],
)
def test_a_mistake_with_users_is_one_line(weft_command, words, says):
    status, _, err = weft_command(*words)
    assert status == 2 and says in err and len(err.splitlines()) == 1


def test_the_token_is_printed_rotated_and_the_secret_of_webhooks_is_another(weft_command):
    _, token, _ = weft_command("token")
    assert weft_command("token")[1] == token and len(token) >= 16
    _, fresh, err = weft_command("token", "rotate")
    assert fresh != token and weft_command("token")[1] == fresh and "start the server anew" in err
    secret = weft_command("token", "--webhook")[1]
    assert secret not in (token, fresh) and weft_command("token", "--webhook", "--user", "ann")[1] != secret
