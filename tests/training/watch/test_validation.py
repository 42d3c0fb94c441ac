from collections.abc import Callable

import pytest

from sam_train.data.scenes import SceneSet
from sam_train.training.watch.validation import ClickValidation, images_of_rank

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

SCENES = {"scenes": SceneSet("scenes", 3, seed=1, image_size=64)}


def test_iou_after_clicks_is_logged(fit: Callable) -> None:
    validation = ClickValidation(image_sets=SCENES, every_n_steps=2, max_masks=4, clicks=(1, 2))
    logged = fit(validation).logged_metrics
    for name in ("iou_at_1", "iou_at_2", "iou_with_box", "empty_at_1"):
        assert 0 <= logged[f"val/{name}"] <= 1
    assert logged["val/iou_error_at_1"] >= abs(logged["val/iou_overestimate_at_1"]) - 1e-6
    assert "val/iou_at_3" not in logged


def test_ranks_share_the_images_and_get_equally_many() -> None:
    first, second = (list(images_of_rank(SCENES, 8, rank=rank, ranks=2)) for rank in range(2))
    seen = [image.key for image, weight in [*first, *second] if weight]
    assert sorted(seen) == sorted(image.key for image in SCENES["scenes"])
    assert [weight for _, weight in second] == [1.0, 0.0]
