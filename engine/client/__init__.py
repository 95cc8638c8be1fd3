"""Client: a running server from Python, typed, in two forms: `AsyncClient`, and `Client` for programs that wait.

    with Client("http://127.0.0.1:8118/?token=...") as weft:
        job = weft.submit(workflow, {"prompt": "a red sphere"})
        for event in weft.follow(job.id): ...             # the job's diary, live
        picture = weft.picture(weft.job(job.id).outputs["image"][0])

Whatever the server refuses is raised as a `WeftError` with the server's own problems; a server that does not answer is
`server.unreachable`. Events survive a lost connection: the client comes back with the number it saw last.
"""

from engine.client.asynchronous import AsyncClient
from engine.client.blocking import Client
from engine.client.wire import Document, Event, document, problem_of, verify

__all__ = ["AsyncClient", "Client", "Document", "Event", "document", "problem_of", "verify"]
