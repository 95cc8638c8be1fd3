"""Schemathesis asks every address of the API what its description allows: never a 500, never an undescribed reply."""

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.engine.flows import box
from tests.engine.server.painted import document

EXAMPLES = 4  # of each address; the quick test of every commit


@pytest.fixture
def api(servers):
    """A description that may be asked, and how: with a job, a workflow and a tab to be found."""
    from engine.server.config import Config

    running = servers.start(config=Config(fetch=False, webhooks=False))
    weft = running.client
    work = document({"s": box("paint.square")}, outputs={"o": "s"})
    job = weft.wait(weft.submit(work).id)
    weft.save("one", work)
    weft.put_tab("main", {"n": 1})
    token = {"Authorization": f"Bearer {running.address.token}"}
    given = requests.get(f"{running.address.base}/api/openapi.json", headers=token, timeout=20).json()
    del given["paths"]["/ws"]
    schema = schemathesis.openapi.from_dict(given)
    schema.config.update(base_url=running.address.base)
    return running, schema, token, job


def test_no_request_that_the_description_allows_is_the_servers_fault(api):
    running, schema, token, job = api
    asked = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.method.upper() == "POST" and operation.path == "/api/queue":
            continue  # a queue that is paused would keep the other requests' jobs

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(case=operation.as_strategy())
        def ask(case):
            query = dict(case.query or {})
            query.pop("wait", None)
            case.query = query
            if "id" in (case.path_parameters or {}) and len(asked) % 2:
                case.path_parameters["id"] = job.id
            reply = case.call(headers=token, timeout=20)
            asked.append((case.method, case.path, reply.status_code))
            case.validate_response(reply, checks=(not_a_server_error, response_schema_conformance))

        ask()
    assert len(asked) >= 2 * len(list(schema.get_all_operations()))
    assert {status for _, _, status in asked} >= {200, 400, 404}
    assert running.client.state().queue.paused is False
