"""Book: the queue over the session. Every job is accepted, waits, runs and ends exactly once, also over restarts.

    submit ──▶ accepted (checked, seeds drawn, written down) ──release, after the reply──▶ queued ──▶ running ──▶ over
                                                                    ▲                         │ kill -9
                                                                    └───────── interrupted ◀──┘

All of it runs on the event loop's thread; what takes time (planning, the store) is done beside it.
"""

from engine.server.book.ledger import MOST
from engine.server.book.main import Book
from engine.server.book.running import WIDTH

__all__ = ["MOST", "WIDTH", "Book"]
