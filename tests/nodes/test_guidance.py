import pytest

from engine.errors import WeftError
from nodes import guidance
from nodes.types import Guidance


def test_guidance_is_a_recipe_of_plain_numbers():
    found = guidance.classifier_free_guidance(5.0, 0.7, 0.1, 0.8, "sequential")
    assert found == Guidance(5.0, 0.7, 0.1, 0.8, "sequential")


@pytest.mark.parametrize(("start", "stop"), [(0.5, 0.5), (0.8, 0.2)])
def test_guidance_that_never_acts_is_refused(start, stop):
    with pytest.raises(WeftError, match="never act"):
        guidance.classifier_free_guidance(start=start, stop=stop)
