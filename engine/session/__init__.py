"""Session: one long-lived engine – jobs, subscribers, measured seconds, seeds drawn ahead.

    session = Session()
    plan = session.plan(workflow)                 # what would run now, and why
    job = session.submit(workflow, {"prompt": "a red sphere"})
    for event in job.events(): ...                # the diary, live
    result = session.run(workflow)                # or: wait, and have the outputs

A session is a `Worker`: planning happens where the values are. Today it is a thread in this process; behind the same
seam it can be an actor on another machine.
"""

from __future__ import annotations

from engine.session.job import Job, Result
from engine.session.look import Cull, Look, look
from engine.session.main import JOBS_KEPT, Session
from engine.session.planning import flow_name
from engine.session.warming import warming
from engine.session.worker import Worker

__all__ = ["JOBS_KEPT", "Cull", "Job", "Look", "Result", "Session", "Worker", "flow_name", "look", "warming"]
