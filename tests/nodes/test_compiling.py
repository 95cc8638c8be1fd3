"""Compiling: told while it happens, cancelled between two blocks, and a compiler that fails costs no picture."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from engine.cli import main
from engine.events import StepFinished, StepProgress, StepRetried, StepStarted
from engine.memory import Memory
from engine.numerics import Numerics
from engine.records import Records
from engine.session import Session, warming
from engine.workflow import to_json
from nodes.numerics import compile_blocks
from tests.nodes.families.test_in_the_engine import flow
from tests.nodes.test_numerics import recipe, with_choice

ROOT = Path(__file__).resolve().parents[2]


class Compiler:
    """torch.compile as it looks from outside: what it was asked for, and whether it fails."""

    def __init__(self):
        self.asked, self.ran, self.limits, self.error = [], [], set(), None

    def __call__(self, function, **options):
        self.asked.append(options)

        def call(*args, **kwargs):
            import torch._dynamo.config as settings

            self.ran.append(type(function.__self__).__name__)
            self.limits.add((settings.recompile_limit >= 64, settings.fail_on_recompile_limit_hit))
            if self.error is not None:
                raise self.error
            return function(*args, **kwargs)

        return call


@pytest.fixture
def compiler(monkeypatch):
    made = Compiler()
    monkeypatch.setattr(torch, "compile", made)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    return made


@pytest.fixture
def session(home, tiny_sd1):
    numerics = Numerics("cpu", threads=1)
    with Session(places=home, memory=Memory(), records=Records(), numerics=numerics) as made:
        yield made


def work(**change):
    return with_choice(flow("tiny-sd1", **change), "numerics.compile")


def told(session, flow):
    """The lines of progress, and the result."""
    job = session.submit(flow)
    lines = [event.text for event in job.events() if isinstance(event, StepProgress) and event.text]
    return lines, job.result()


def test_each_size_of_a_block_is_told_once_when_it_is_compiled(session, compiler):
    lines, result = told(session, work())
    assert result.state == "succeeded", result.problems
    assert lines and set(lines) == {"compiling BasicTransformerBlock, once for this size"}
    assert len(lines) < len(compiler.ran)
    assert told(session, work(sample={"seed": 2}))[0] == []
    assert told(session, work(canvas={"width": 128}))[0] == lines


def test_no_size_is_compiled_for_another_because_of_what_came_before(session, compiler):
    """Torch's automatic dynamic shapes would: the second size of a process would get other kernels than the first."""
    session.run(work())
    assert compiler.asked and all(options["dynamic"] is False for options in compiler.asked)
    assert compiler.limits == {(True, True)}  # nor does it silently stop compiling after eight


def test_a_cancel_takes_effect_before_the_next_block_is_compiled(session, compiler):
    job = session.submit(work())
    for event in job.events():
        if isinstance(event, StepProgress) and event.text.startswith("compiling"):
            job.cancel()
            break
    assert job.result().state == "cancelled"


def test_a_compiler_that_fails_costs_one_line_and_no_picture(session, compiler):
    plain = session.run(flow("tiny-sd1"))
    compiler.error = TorchDynamoException("No working C++ compiler found\n\n  File x.py, line 3\n    a long story")
    result = session.run(work())
    assert result.state == "succeeded", result.problems
    (retried,) = (event for event in result.events if isinstance(event, StepRetried))
    assert (retried.path, retried.numerics_changed) == ("sample", True)
    assert retried.because == "torch could not compile BasicTransformerBlock: No working C++ compiler found"
    assert retried.how == "without compiling, which changes the result slightly"
    assert torch.equal(result["image"].pixels, plain["image"].pixels)
    ran = len(compiler.ran)
    again = session.run(work())
    assert again.ran == [] and len(compiler.ran) == ran
    later = session.run(work(sample={"seed": 9}))
    started = next(event for event in later.events if isinstance(event, StepStarted) and event.path == "sample")
    assert started is not None and later.state == "succeeded"


def test_variants_that_share_forwards_do_without_it_together(session, compiler):
    compiler.error = TorchDynamoException("no")
    results = session.together(work(), [{"sample.seed": 5}, {"sample.seed": 6}])
    assert [result.state for result in results] == ["succeeded", "succeeded"]
    for result in results:
        assert [e.because for e in result.events if isinstance(e, StepRetried)] == [
            "torch could not compile BasicTransformerBlock: no"
        ]


def test_what_ran_without_compiling_is_never_found_as_compiled(session, compiler):
    compiler.error = TorchDynamoException("no")
    session.run(work())
    session.engine.leaner.clear()  # as in another process, where the compiler works
    compiler.error = None
    assert "sample" in session.run(work()).ran


def test_who_wants_it_exact_gets_an_error_in_one_line(session, compiler):
    session.engine.exact = True
    compiler.error = TorchDynamoException("No working C++ compiler found\nFile x.py")
    result = session.run(work())
    (problem,) = result.problems
    assert (result.state, problem.code, problem.where.path) == ("failed", "device.compile", "sample")
    assert "\n" not in problem.message and "numerics.compile" in problem.mend.text and "x.py" in problem.report


def test_what_is_compiled_is_kept_under_the_home_unless_somebody_says_where(home, monkeypatch):
    """Torch names a temporary folder by itself as it is imported; that is nobody's wish."""
    import os

    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    from nodes.families import compiling

    for said, kept in (
        (None, str(home.state / "compiled")),
        (default_cache_dir(), str(home.state / "compiled")),
        ("/elsewhere", "/elsewhere"),
    ):
        monkeypatch.delenv(compiling.FOLDER, raising=False)
        if said is not None:
            monkeypatch.setenv(compiling.FOLDER, said)
        compiling.keep()
        assert os.environ[compiling.FOLDER] == kept


def test_a_model_without_repeated_blocks_is_refused(home, tiny_sd1):
    from nodes.families import compiling

    with pytest.raises(Exception, match="nothing to compile"):
        compiling.attach(torch.nn.Linear(1, 1), "default")
    assert compile_blocks(recipe("tiny-sd1")).patches[0].compiles


# --- warming ----------------------------------------------------------------------------------------------------------


def test_warming_runs_one_step_of_what_compiles_and_nothing_below_it(session, compiler):
    stopped, targets = warming(session, work(sample={"steps": 5}), {})
    assert targets == ("sample.latent",)
    result = session.run(stopped, targets=targets)
    assert "decode" not in result.ran and "sample" in result.ran
    started = next(event for event in result.events if isinstance(event, StepStarted) and event.path == "sample")
    assert started.steps == 1 and compiler.ran
    # The run itself goes on from the step that the warming made.
    whole = session.run(work(sample={"steps": 5}))
    assert next(e for e in whole.events if isinstance(e, StepStarted) and e.path == "sample").resumed == 1
    assert warming(session, flow("tiny-sd1"), {})[1] == ()


def test_the_command_says_what_it_compiled_and_saves_nothing(home, tiny_sd1, compiler, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WEFT_HOME", str(home.home))
    file = tmp_path / "flow.json"
    models = ["--models", str(tiny_sd1.parent.parent), "--device", "cpu"]
    file.write_text(json.dumps(to_json(work())))
    assert main(["warm", str(file), *models]) == 0
    said = capsys.readouterr().err
    assert "kept in" in said and str(home.state / "compiled") in said
    assert not list(home.output.rglob("*.png"))
    file.write_text(json.dumps(to_json(flow("tiny-sd1"))))
    assert main(["warm", str(file), *models]) == 0
    assert "nothing to warm" in capsys.readouterr().err
    compiler.error = TorchDynamoException("no compiler here")
    file.write_text(json.dumps(to_json(work(sample={"seed": 77}))))
    assert main(["warm", str(file), *models, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["compiled"] == {}


COUNTED = """
import sys
from engine.cli import main
code = main(sys.argv[1:])
from torch._dynamo.utils import counters
found = counters["inductor"]
print("counted", code, found["fxgraph_cache_hit"] + found["fxgraph_cache_bypass"], found["fxgraph_cache_miss"],
      counters["aot_autograd"]["autograd_cache_hit"], counters["aot_autograd"]["autograd_cache_miss"])
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_one_process_compiled_the_next_one_reads(home, tiny_sd1, tmp_path, monkeypatch):
    """The real compiler: after `weft warm` a run compiles nothing anew."""
    monkeypatch.setenv("WEFT_HOME", str(home.home))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(to_json(work())))
    options = ["--models", str(tiny_sd1.parent.parent), "--device", "cpu"]

    def counted(command, *more):
        words = [sys.executable, "-c", COUNTED, command, str(file), *options, *more]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=540)
        lines = [line for line in done.stdout.splitlines() if line.startswith("counted")]
        assert lines, done.stderr[-2000:]
        return [int(word) for word in lines[-1].split()[1:]]

    code, _, missed, _, autograd_missed = counted("warm")
    assert code == 0 and missed + autograd_missed > 0
    code, _, missed, hit, autograd_missed = counted("run", "--no-cache")
    assert code == 0 and missed == autograd_missed == 0 and hit > 0


def test_the_seconds_of_a_warming_are_those_of_its_step(session, compiler):
    stopped, targets = warming(session, work(), {})
    events = session.run(stopped, targets=targets).events
    assert [event.path for event in events if isinstance(event, StepFinished)][-1] == "sample"
