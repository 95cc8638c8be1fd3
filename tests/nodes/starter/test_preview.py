import shutil

from nodes import load
from nodes.starter import preview


def test_the_fitted_map_is_what_loading_gives(home, tiny_sd1):
    folder = shutil.copytree(tiny_sd1, home.home / "models" / "checkpoints" / "own")
    assert preview.write(folder, count=2).name == "preview.json"
    table = load.model("own").vae.space.preview
    assert [len(row) for row in table] == [3] * 5
    grey = [row[0] for row in table]
    assert 0 < grey[-1] < 1
