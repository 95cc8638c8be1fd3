"""What `paint.rows` names in `batched=`: all of them at once, each on a thread; and it writes down who they were."""

import contextvars
import threading
from typing import Any

from engine.node import Alone

SHARED: list[list[int]] = []


def alike(seed: int, solo: bool, **more: Any) -> Any:
    return Alone("it wants to be by itself") if solo else "rows"


def together(call: Any, runs: Any, inputs: Any) -> list[Any]:
    SHARED.append([one["seed"] for one in inputs])
    found: list[Any] = [None] * len(runs)

    def go(index: int) -> None:
        try:
            found[index] = call(index, runs[index])
        except BaseException as error:
            found[index] = error

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(go, index)) for index in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
