"""One round of simulated interaction: the answer to the prompts, its losses, how good it is."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.data.stream.collate import Batch
from sam_train.interaction.masks import enlarge, inside_image, mask_iou, sizes_on_grid
from sam_train.interaction.prompts import PromptKind, Prompts
from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss
from sam_train.training.scale.ranks import sum_over_ranks

ObjectLosses = dict[str, Float[Tensor, " N"]]
MEASURES = ("iou_at", "iou_error_at", "empty_at")


@dataclass(frozen=True)
class RoundRules:
    """What the paper leaves open about the rounds.

    `sum_rounds` adds the losses of the rounds (SAM 2) instead of taking their mean (EdgeSAM,
    micro-sam). A lone prompt of a kind that is `ambiguous` is answered by three masks, another by
    one: a point by three, a box by three (App. D.4 picks "the most confident mask" for it) or one
    (SAM 2). `detach_feedback` off lets gradients flow through the mask prompt into the round
    before (SAM 2), which keeps the graphs of all rounds. Only the last `gradient_rounds` of a
    step are learned from, all if None: at small scale rounds without gradient leave time for
    more images.
    """

    sum_rounds: bool = False
    ambiguous: Collection[PromptKind] = ("point", "box")
    detach_feedback: bool = True
    gradient_rounds: int | None = None

    def __post_init__(self) -> None:
        if unknown := set(self.ambiguous) - set(get_args(PromptKind)):
            raise ValueError(f"rules.ambiguous has {min(unknown)!r}; it may hold point and box")
        if self.gradient_rounds is not None and self.gradient_rounds < 1:
            raise ValueError(f"rules.gradient_rounds is {self.gradient_rounds}; at least 1 learns")

    def weights(self, rounds: int) -> list[float]:
        """The weight of each round's loss in that of the step."""
        learned = min(self.gradient_rounds or rounds, rounds)
        weight = 1.0 if self.sum_rounds else 1 / learned
        return [0.0] * (rounds - learned) + [weight] * learned


def play_round(
    sam: Sam,
    image_embeddings: Float[Tensor, "B embedding h w"],
    prompts: Prompts,
    batch: Batch,
    *,
    loss: MaskLoss,
    ambiguous: Collection[PromptKind],
) -> tuple[Float[Tensor, "N 4*h 4*w"], ObjectLosses]:
    """The logits that the annotator sees (the highest predicted IoU), losses and measures."""
    low_res_logits, iou_pred = sam.decode(image_embeddings, prompts, batch["image_index"])
    low_res_logits, iou_pred = low_res_logits.float(), iou_pred.float()
    candidates = prompts.candidates(ambiguous)  # (N, 4)
    if len(candidates.unique(dim=0)) == 1:  # nothing is computed for masks that nobody gets
        low_res_logits, iou_pred = low_res_logits[:, candidates[0]], iou_pred[:, candidates[0]]
        candidates = candidates[:, candidates[0]]
    losses = loss(low_res_logits, iou_pred, batch["gt_masks"], candidates)
    best, best_iou_pred = most_confident(low_res_logits, iou_pred, candidates)
    sizes = mask_sizes(batch, sam.image_size)
    return best, losses | measure(best, best_iou_pred, batch, sizes=sizes)


def most_confident(
    low_res_logits: Float[Tensor, "N M h w"],
    iou_pred: Float[Tensor, "N M"],
    candidates: Bool[Tensor, "N M"],
) -> tuple[Float[Tensor, "N h w"], Float[Tensor, " N"]]:
    """Of each object's candidates that of the highest predicted IoU, with that IoU."""
    best_iou_pred, chosen = iou_pred.masked_fill(~candidates, -torch.inf).max(1)
    each = torch.arange(len(chosen), device=chosen.device)
    return low_res_logits[each, chosen], best_iou_pred


@torch.no_grad()
def measure(
    logits: Float[Tensor, "N h w"],
    iou_pred: Float[Tensor, " N"],
    batch: Batch,
    *,
    sizes: Int[Tensor, "N 2"],
) -> ObjectLosses:
    """IoU, error of the predicted IoU and emptiness of the masks that the annotator sees."""
    gt_masks = batch["gt_masks"]
    pred_masks = enlarge(logits[:, None], gt_masks)[:, 0] > 0
    pred_masks &= inside_image(sizes, gt_masks.shape[-2:])
    iou = mask_iou(pred_masks, gt_masks)
    empty = ~pred_masks.flatten(1).any(1)
    return {"iou_at": iou, "iou_error_at": (iou_pred - iou).abs(), "empty_at": empty.float()}


def mask_sizes(batch: Batch, image_size: int) -> Int[Tensor, "N 2"]:
    """The (H, W) of each object's image within the grid of the masks."""
    input_sizes = batch["input_sizes"][batch["image_index"]]
    return sizes_on_grid(input_sizes, image_size=image_size, side=batch["gt_masks"].shape[-1])


def mean_over_ranks(rounds: list[ObjectLosses], device: torch.device) -> dict[str, float]:
    """Means over all objects of all ranks: losses over the rounds, measures round by round."""
    sums = {"objects": torch.tensor(float(len(rounds[0]["loss"])))}
    for name in (name for name in rounds[0] if name not in MEASURES):
        sums[name] = torch.stack([losses[name].sum() for losses in rounds]).mean()
    for number, losses in enumerate(rounds, start=1):
        sums |= {f"{name}_{number}": losses[name].sum() for name in MEASURES}
    values = torch.stack([value.to(device) for value in sums.values()]).tolist()
    objects, *totals = sum_over_ranks(values, device)
    means = [total / objects for total in totals]
    return dict(zip((f"train/{name}" for name in sums), [objects, *means], strict=True))
