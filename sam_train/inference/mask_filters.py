"""Which masks of the fully automatic phase stay: stability, crop edges, duplicates."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import batched_nms

# A mask that ends this close to a crop's edge is taken for a cut object (segment_anything).
EDGE_TOLERANCE = 20


def stability_score(
    mask_logits: Float[Tensor, "N H W"], mask_threshold: float, offset: float
) -> Float[Tensor, " N"]:
    """The IoU of each mask thresholded `offset` above and below the mask threshold.

    The stricter mask lies inside the other, so this is a ratio of areas. A mask that is empty
    at both thresholds scores NaN and passes no filter.
    """
    inner = torch.count_nonzero(mask_logits > mask_threshold + offset, dim=(-2, -1))
    outer = torch.count_nonzero(mask_logits > mask_threshold - offset, dim=(-2, -1))
    return inner / outer


def touches_crop_edge(
    boxes: Int[Tensor, "N 4"], crop_box: tuple[int, int, int, int], original_size: tuple[int, int]
) -> Bool[Tensor, " N"]:
    """Whether a box ends at an edge of its crop that is not an edge of the image too.

    Boxes and crop are XYXY in the frame of the original image.
    """
    height, width = original_size
    crop_edge = boxes.new_tensor(crop_box)
    image_edge = boxes.new_tensor([0, 0, width, height])
    near_crop = (boxes - crop_edge).abs() <= EDGE_TOLERANCE
    near_image = (boxes - image_edge).abs() <= EDGE_TOLERANCE
    return (near_crop & ~near_image).any(dim=-1)


def suppress_duplicates(
    boxes: Int[Tensor, "N 4"], scores: Float[Tensor, " N"], iou_threshold: float
) -> list[int]:
    """The indices that box NMS keeps, best score first."""
    # As one category of batched_nms, equal scores stay in the order that segment_anything has.
    category = torch.zeros(len(boxes), device=boxes.device)
    return batched_nms(boxes.float(), scores, category, iou_threshold).tolist()
