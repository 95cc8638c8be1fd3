"""One torch thread: two in one process wait for each other whenever the machine is busy."""

import pytest


@pytest.fixture(autouse=True)
def one_thread(request):
    if request.path.stem not in ("test_train", "test_model"):
        yield  # the world and the checker know no torch
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
