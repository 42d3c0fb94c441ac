import torch

from sam_train.data.stream.collate import Example, collate


def example(key: str, masks: int) -> Example:
    return {
        "key": key,
        "image": torch.full((3, 8, 8), masks, dtype=torch.uint8),
        "input_size": (8, 6),
        "original_size": (16, 12),
        "gt_masks": torch.ones(masks, 4, 4, dtype=torch.bool),
        "object_seeds": torch.arange(masks) + 10 * masks,
    }


def test_masks_of_all_images_lie_in_a_row_and_know_their_image():
    batch = collate([example("a", 2), example("b", 1), example("c", 3)])
    assert batch["images"].shape == (3, 3, 8, 8)
    assert batch["images"].dtype == torch.uint8
    assert batch["input_sizes"].tolist() == [[8, 6]] * 3
    assert batch["original_sizes"].tolist() == [[16, 12]] * 3
    assert batch["gt_masks"].shape == (6, 4, 4)
    assert batch["image_index"].tolist() == [0, 0, 1, 2, 2, 2]
    assert batch["object_seeds"].tolist() == [20, 21, 10, 30, 31, 32]
    assert batch["keys"] == ["a", "b", "c"]
