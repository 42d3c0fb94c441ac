"""Where the simulated annotator clicks and how it draws boxes.

Everything here is in pixels of the masks' own grid: an integer (x, y) is the centre of its
pixel. `to_input_frame` takes coordinates of a coarser grid to the input frame.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.interaction.draws import normal
from sam_train.interaction.masks import count_in_rows
from sam_train.interaction.prompts import BACKGROUND, FOREGROUND, PADDING


def to_input_frame(coords: Float[Tensor, "*batch D"], scale: float) -> Float[Tensor, "*batch D"]:
    """Maps pixel centres of a mask grid to a frame that is `scale` times finer."""
    return (coords + 0.5) * scale - 0.5


def pixel_at(
    regions: Bool[Tensor, "N H W"], uniform: Float[Tensor, " N"]
) -> tuple[Float[Tensor, "N 2"], Bool[Tensor, " N"]]:
    """The (x, y) pixel of each region that a number in [0, 1) picks, all pixels alike.

    Counts instead of drawing noise for every pixel: the row from the row sums, then the
    column. The second result is False, and the pixel (0, 0), where the region is empty.
    """
    row_ends = count_in_rows(regions).cumsum(1)  # (N, H)
    total = row_ends[:, -1]
    rank = (uniform * total).long().clamp(max=total - 1).clamp(min=0)
    y = (row_ends <= rank[:, None]).sum(1).clamp(max=regions.shape[1] - 1)
    each = torch.arange(len(regions), device=regions.device)
    row = regions[each, y]  # (N, W)
    rank = rank - (row_ends[each, y] - row.sum(1))
    x = (row.cumsum(1) <= rank[:, None]).sum(1).clamp(max=regions.shape[2] - 1)
    found = total > 0
    return torch.stack([x, y], dim=1).float() * found[:, None], found


def error_point(
    pred_masks: Bool[Tensor, "N H W"],
    gt_masks: Bool[Tensor, "N H W"],
    uniform: Float[Tensor, " N"],
    *,
    inside: Bool[Tensor, "N H W"],
) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
    """A pixel of the error region, all alike: foreground where missed, background where wrong.

    Missed and wrong pixels are one region (SAM, App. A), so each kind is drawn by its area.
    Pixels that are not `inside` the image (the padding) are never clicked. A mask without
    error gets no point: label -1.
    """
    coords, found = pixel_at((pred_masks ^ gt_masks) & inside, uniform)
    x, y = coords.long().unbind(1)
    is_object = gt_masks[torch.arange(len(gt_masks), device=x.device), y, x]
    labels = torch.where(is_object, FOREGROUND, BACKGROUND)
    return coords, torch.where(found, labels, PADDING)


def mask_boxes(masks: Bool[Tensor, "N H W"]) -> Float[Tensor, "N 4"]:
    """XYXY boxes whose corners are the outermost pixels (inclusive, as in SAM); empty: zeros."""
    bounds = []
    for axis in (1, 2):  # columns that hold something, then rows
        line = masks.any(axis).int()
        last = line.shape[1] - 1 - line.flip(1).argmax(1)
        bounds.append((line.argmax(1), last))
    (x0, x1), (y0, y1) = bounds
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return boxes * masks.flatten(1).any(1)[:, None]


def noisy_boxes(
    boxes: Float[Tensor, "N 4"],
    seeds: Int[Tensor, " N"],
    *,
    std: float,
    max_noise: float,
    frame: Int[Tensor, "N 2"],
) -> Float[Tensor, "N 4"]:
    """Boxes with every coordinate moved by N(0, std * side), at most `max_noise` pixels.

    SAM, App. A: 10 % of the side, at most 20 pixels. The corners stay ordered and within
    the image of `frame` (H, W) pixels.
    """
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)  # width, height, width, height
    noise = torch.stack([normal(seeds, stream) for stream in range(4)], dim=1) * std * sides
    boxes = boxes + noise.clamp(-max_noise, max_noise).to(boxes)
    corners = boxes.reshape(-1, 2, 2)
    low, high = corners.amin(1), corners.amax(1)
    limit = (frame.flip(1) - 1).to(boxes)
    return torch.cat([low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)], dim=1)


def mask_centre(masks: Bool[Tensor, "N H W"]) -> Float[Tensor, "N 2"]:
    """The pixel of each mask that is farthest from its boundary and the image's border."""
    centres = [_innermost_pixel(mask)[0] for mask in masks.cpu().numpy()]
    return torch.tensor(centres, dtype=torch.float32, device=masks.device).reshape(-1, 2)


def error_centre(
    pred_masks: Bool[Tensor, "N H W"], gt_masks: Bool[Tensor, "N H W"]
) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
    """The pixel of the error region that is farthest from that region's boundary.

    The rule of RITM (isegm/inference/clicker.py): exact distance transforms of the missed
    and of the wrong pixels, padded by one; the larger wins, a tie goes to background, the
    first pixel in row order. As in SAM 2, and unlike in RITM, a pixel may be clicked again.
    A mask without error gets label -1.
    """
    coords, labels = [], []
    for pred, gt in zip(pred_masks.cpu().numpy(), gt_masks.cpu().numpy(), strict=True):
        missed, missed_depth = _innermost_pixel(gt & ~pred)
        wrong, wrong_depth = _innermost_pixel(pred & ~gt)
        is_missed = missed_depth > wrong_depth
        coords.append(missed if is_missed else wrong)
        label = FOREGROUND if is_missed else BACKGROUND
        labels.append(label if max(missed_depth, wrong_depth) > 0 else PADDING)
    device = gt_masks.device
    points = torch.tensor(coords, dtype=torch.float32, device=device).reshape(-1, 2)
    return points, torch.tensor(labels, dtype=torch.int64, device=device)


def _innermost_pixel(region: Bool[np.ndarray, "H W"]) -> tuple[tuple[int, int], float]:
    """The (x, y) of the largest distance to the outside, and that distance; 0 if empty.

    Only the region's box is transformed: what lies around it is outside anyway.
    """
    x0, y0, width, height = cv2.boundingRect(region.view(np.uint8))
    if width == 0:
        return (0, 0), 0.0
    patch = np.zeros((height + 2, width + 2), np.uint8)
    patch[1:-1, 1:-1] = region[y0 : y0 + height, x0 : x0 + width]
    distance = cv2.distanceTransform(patch, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    squared = np.rint(np.square(distance, dtype=np.float64))  # whole numbers, so ties are ties
    y, x = np.unravel_index(squared.argmax(), squared.shape)
    return (int(x) - 1 + x0, int(y) - 1 + y0), float(squared[y, x]) ** 0.5
