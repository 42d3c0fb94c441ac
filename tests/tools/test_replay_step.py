import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard
from tools.replay_step import find_config, lines_of, replay_file

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four grey images with one square."""
    root = tmp_path / "dataset"
    mask = np.zeros((64, 64), bool)
    mask[10:40, 10:40] = True
    record = {
        "image": {"image_id": 0, "width": 64, "height": 64, "file_name": "a.jpg"},
        "annotations": [annotation_from_rle(encode_mask(mask), id=0)],
    }
    jpeg = encode_jpeg(np.full((64, 64, 3), 90, np.uint8))
    path = root / "images" / "grey-000000.tar"
    write_shard(path, [Sample(f"grey-{i}", jpeg, record) for i in range(4)])
    entry = Dataset(root).entry(path, source="grey", phase="known")
    Dataset(root).commit([entry], parent=None, phase="known", round=0)
    return root


@pytest.mark.slow
def test_a_step_that_exploded_is_played_again(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "sam_train.train", f"dataset={dataset}", f"output_dir={run}"),
            *("model.image_size=64", "mask_size=16", "fit.warm_start.steps=2", "optim.lr=1.0e+30"),
            *("optim.gradient_clip=0.0", "optim.schedule.warmup=0", "max_steps=20"),
            "callbacks.nonfinite.patience=3",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    assert "not finite in 3 steps in a row" in result.stderr
    assert "Traceback" not in result.stderr
    file = sorted((run / "nonfinite").glob("*.json"))[0]
    step = replay_file(file, None, "cpu")
    assert step.batch["keys"] == json.loads(file.read_text())["keys"]
    assert "all losses and gradients are finite here" not in lines_of(step)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="is not what a skipped step leaves"):
        replay_file(tmp_path / "other.json", None, "cpu")
    with pytest.raises(FileNotFoundError, match="no folder above"):
        find_config(tmp_path / "other.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        replay_file(tmp_path / "gone.json", None, "cpu")
