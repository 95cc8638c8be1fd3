"""A server of its own process, to be killed: `python -m tests.engine.server.process HOME [STARTS]`.

STARTS is how often a job may have been running when the process was killed.
"""

import asyncio
import os
import sys
from pathlib import Path

from engine.disk import Disk
from engine.memory import Memory
from engine.places import Places
from engine.records import Records
from engine.server.book import running
from engine.server.main import Server, serve
from engine.session import Session
from tests.engine.conftest import PINNED
from tests.engine.server import painted


def main(home: Path) -> None:
    def make(places, registry):
        made = Session(
            registry=painted.registry(),
            places=places,
            numerics=PINNED,
            memory=Memory({"cpu": 2**26}),
            records=Records(places.state / "records.sqlite"),
            lower=Disk(places.home / "cache", {"engine", "tests"}, quick=0.0) if os.environ.get("WITH_DISK") else None,
        )
        if os.environ.get("WITH_DISK"):
            made.engine.checkpoints.spacing = made.engine.checkpoints.share = 0.0
        return made

    server = Server(Places(home=home), make, port=None, token="a-token-of-the-tests-only", warm=False)
    asyncio.run(serve(server, lambda url: print(url, flush=True), browser=False))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        running.STARTS_LIMIT = int(sys.argv[2])
    main(Path(sys.argv[1]))
