"""Asynchronous: the client for programs with an event loop."""

from engine.client.asynchronous.main import AsyncClient

__all__ = ["AsyncClient"]
