"""What `toy.sing` names in `batched=`: sings in choirs of one voice, and writes down how many sang."""

from typing import Any

CHOIRS: list[list[str]] = []
ROOM = {"seats": 99}


def alike(text: str, voice: str, wrong: str) -> Any:
    return None if voice == "solo" else voice


def together(call: Any, runs: Any, inputs: Any) -> list[Any]:
    CHOIRS.append([one["text"] for one in inputs])
    if len(inputs) > ROOM["seats"]:
        return [RuntimeError("out of memory: too many singers")] * len(inputs)
    found = []
    for index, run in enumerate(runs):
        try:
            found.append(call(index, run))
        except BaseException as error:
            found.append(error)
    return found
