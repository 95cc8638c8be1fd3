"""Operations: counts for Prometheus, spans for OpenTelemetry."""

import re

from tests.engine.flows import box
from tests.engine.server.painted import document
from tests.engine.server.test_door import Caller, code

LABEL = r'[a-z_]+="(\\.|[^"\\\n])*"'
LINE = re.compile(rf"# (HELP|TYPE) weft_[a-z_]+ .+|weft_[a-z_]+(\{{{LABEL}(,{LABEL})*\}})? -?[\d.e+-]+")


def measured(call):
    status, text, headers = call("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return text.decode()


def value(text, name):
    [found] = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found)


def test_metrics_are_text_that_prometheus_reads_and_count_what_happened(running):
    weft, call = running.client, Caller(running)
    weft.wait(weft.submit(document({"s": box("paint.square")}, outputs={"o": "s"})).id)
    bad = document({"make": box("toy.make"), "bad": box("toy.fail", thing="@make")}, outputs={"out": "bad"})
    weft.wait(weft.submit(bad).id)
    call("GET", "/api/nowhere/%22quoted%0Aname")
    text = measured(call)
    assert all(LINE.fullmatch(line) for line in text.splitlines()), text
    assert text.count("# TYPE weft_jobs_total counter") == 1
    assert value(text, 'weft_jobs_total{state="succeeded"}') == 1 == value(text, 'weft_jobs_total{state="failed"}')
    assert value(text, 'weft_requests_total{route="/api/jobs",method="POST",status="201"}') == 2
    assert value(text, "weft_ready") == 1 and value(text, "weft_queue_jobs") == 0
    assert value(text, "weft_resident_bytes") > 2**20
    assert 'weft_memory_limit_bytes{device="cpu"}' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_metrics_want_the_token_and_are_for_the_owner_alone(running):
    running.client.state()
    call = Caller(running)
    assert code(call("GET", "/metrics", token=False)) == (401, "server.auth")
    token = running.server.house.users.add("ann")
    asked = call("GET", "/metrics", token=False, Authorization=f"Bearer {token}")
    assert code(asked) == (403, "server.forbidden")


def test_metrics_can_be_switched_off(servers):
    from engine.server.config import Config

    running = servers.start(config=Config(metrics=False))
    assert code(Caller(running)("GET", "/metrics")) == (404, "server.missing")


def test_jobs_and_steps_are_spans_of_opentelemetry(running):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from engine.server.tracing import Tracing

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    weft = running.client
    weft.state()
    tracing = Tracing(trace)
    tracing._tracer = provider.get_tracer("weft")
    running.book.tracing = tracing
    bad = {"s": box("paint.square"), "make": box("toy.make"), "bad": box("toy.fail", thing="@make")}
    job = weft.wait(weft.submit(document(bad, outputs={"o": "s", "b": "bad"})).id)
    assert job.state == "partial"
    spans = {span.attributes.get("weft.path", span.name): span for span in exporter.get_finished_spans()}
    assert {"weft.job", "s", "make", "bad"} <= set(spans)
    assert spans["weft.job"].attributes["weft.job"] == job.id and not spans["weft.job"].status.is_ok
    assert spans["bad"].status.description == "node.raised" and spans["s"].parent == spans["weft.job"].context
    weft.wait(weft.submit(document(bad, outputs={"o": "s", "b": "bad"})).id)
    again = [span for span in exporter.get_finished_spans() if span.name == "weft.job"][-1]
    assert "weft.hit" in [event.name for event in again.events]


def test_tracing_without_its_packages_is_said_once_and_harms_nothing(monkeypatch, caplog):
    import sys

    from engine.server.tracing import tracer_of

    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    monkeypatch.setattr("engine.server.tracing.LOG.propagate", True)
    assert tracer_of(True) is None and "weft[tracing]" in caplog.text
    assert tracer_of(False) is None
