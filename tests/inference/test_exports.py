import subprocess
import sys

import pytest

import sam_train


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, sam_train; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_names_of_segment_anything_are_found_on_first_use() -> None:
    assert {"default", "vit_h", "vit_l", "vit_b", "tiny"} <= sam_train.sam_model_registry.keys()
    assert sam_train.SamPredictor.__name__ == "SamPredictor"
    with pytest.raises(AttributeError, match="has no attribute 'SamTrainer'"):
        sam_train.SamTrainer  # noqa: B018
