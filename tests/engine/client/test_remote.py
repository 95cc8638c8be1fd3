"""`weft run --server`: the same runs, on a server that is there already."""

import json

import pytest

from engine import cli
from tests.engine.flows import box
from tests.engine.server import rows
from tests.engine.server.painted import document, png, registry

WORK = document(
    {"square": box("paint.square"), "save": box("paint.save", picture="@square"), "n": box("toy.number", value=3)},
    parameters={"colour": {"to": ["square.colour"], "default": "red"}},
    outputs={"n": "n"},
)


@pytest.fixture
def weft(running, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("engine.cli.documents.load_registry", lambda folder: registry())
    file = tmp_path / "flow.json"

    def call(*words, work=WORK):
        file.write_text(json.dumps(work))
        code = cli.main(["run", str(file), "--server", running.address.url, *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_pictures_are_fetched_to_where_out_says(weft, tmp_path):
    code, out, _ = weft("--out", str(tmp_path / "here"), "--set", "colour=blue")
    assert code == 0 and out.splitlines() == ["n = 3", str(tmp_path / "here" / "square.png")]
    assert (tmp_path / "here" / "square.png").read_bytes().startswith(b"\x89PNG")


def test_every_event_is_a_line_and_json_is_the_job(weft):
    code, out, _ = weft("--events")
    kinds = [json.loads(line)["event"] for line in out.splitlines()]
    assert code == 0 and kinds[0] == "job_queued" and kinds[-1] == "job_finished" and "step_pictures" in kinds
    code, out, _ = weft("--json")
    assert code == 0 and json.loads(out)["state"] == "succeeded"


def test_a_sweep_is_a_job_for_each_and_one_that_fails_does_not_stop_the_rest(weft):
    bad = document({"m": box("toy.make"), "c": box("toy.maybe", thing="@m"), "f": box("toy.fail", thing="@c")})
    assert weft("--json", work={**bad, "outputs": {"o": "f"}})[0] == 1
    code, out, _ = weft("--sweep", "colour=red,blue")
    assert code == 0 and out.count("square.png") == 2


def test_a_mistake_is_the_servers_own_line_and_a_server_that_is_gone_is_named(weft, running, tmp_path):
    code, _, err = weft("--to", "nowhere")
    assert code == 2 and "there is no node or output 'nowhere'" in err and len(err.strip().splitlines()) == 1
    assert cli.main(["run", str(tmp_path / "flow.json"), "--server", "http://127.0.0.1:9/?token=t"]) == 2


def test_pictures_that_lie_here_are_sent_along_each_once(weft, running, tmp_path, monkeypatch, home):
    png(tmp_path / "beside.png", (3, 3), "blue")
    png(tmp_path / "typed.png", (4, 4), "lime")
    work = document(
        {
            "a": box("paint.open", name="beside.png"),
            "b": box("paint.open", name="none.png"),
            "save": box("paint.save", picture="@b"),
        },
        parameters={"second": {"to": ["b.name"]}},
        outputs={"a": "a"},
    )
    monkeypatch.chdir(tmp_path)
    code, _, err = weft("--set", f"second={tmp_path / 'typed.png'}", work=work)
    assert code == 0, err
    assert "beside.png sent as beside.png" in err and "sent as typed.png" in err
    assert {path.name for path in home.input.iterdir()} == {"beside.png", "typed.png"}
    (tmp_path / "rows.csv").write_text("second\ntyped.png\ntyped.png\n")
    code, _, err = weft("--rows", "rows.csv", work=work)
    assert code == 0 and err.count("sent as") == 2, "two runs, and each picture is sent once"
    assert len(list(home.input.iterdir())) == 2, "the same picture is kept once"


def test_a_sweep_that_shares_forwards_is_one_job_with_an_item_for_each(weft, running):
    rows.SHARED.clear()
    work = document({"rows": box("paint.rows", seed=1)}, outputs={"image": "rows"})
    code, _, err = weft("--sweep", "rows.seed=1..3", "--together", "4", work=work)
    assert code == 0 and rows.SHARED == [[1, 2, 3]]
    assert sorted(line.partition("] ")[2] for line in err.splitlines()) == [
        f"rows.seed={seed}: succeeded" for seed in (1, 2, 3)
    ]
    [job] = running.client.history()
    assert (job.together, job.counts) == (4, {"succeeded": 3})
