"""The servers of the server's own tests."""

from tests.engine.server.conftest import running, servers, weft  # noqa: F401
