"""IoU after clicks and with boxes on images not trained on, in the frame of the training."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.data.transforms import view_grid, view_image, view_masks, whole_view
from sam_train.interaction.masks import inside_image, mask_iou, sizes_on_grid
from sam_train.interaction.prompts import FOREGROUND, Prompts, box_prompts, point_prompts
from sam_train.interaction.sampling import error_centre, mask_boxes, mask_centre, to_input_frame
from sam_train.modeling.sam import Sam
from sam_train.training.rounds import most_confident
from sam_train.training.scale.ranks import sum_over_ranks
from sam_train.training.watch.interval import check_interval
from sam_train.training.watch.logged_values import log_values

logger = logging.getLogger(__name__)

Sums = dict[str, float]
# Low-resolution logits (N, h, w) and predicted IoU (N,) of the masks that a user would be shown.
Decode = Callable[[Prompts], tuple[Tensor, Tensor]]


class ClickValidation(Callback):
    """Logs IoU after clicks and with boxes, empty predictions, and how true predicted IoU is.

    Clicks fall on the centre of the largest error, as in `sam_train.evaluate`, but masks are
    compared on the decoder's own grid and not at the image's size, which is cheap enough to be
    done during training. The ranks share the images.
    """

    def __init__(
        self,
        *,
        image_sets: Mapping[str, ImageSet],
        every_n_steps: int,
        max_images: int = 32,
        max_masks: int = 16,
        clicks: Sequence[int] = (1, 3, 5),
    ) -> None:
        check_interval("validation", every_n_steps)
        self.image_sets = image_sets
        self.every_n_steps = every_n_steps
        self.max_images = max_images
        self.max_masks = max_masks  # per image
        self.clicks = tuple(clicks)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tells where the run begins."""
        if trainer.global_step == 0:
            self._tell(trainer, self.validate(trainer, pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            values = self.validate(trainer, pl_module)
            self._tell(trainer, values)
            shown = [f"val/iou_at_{count}" for count in self.clicks]
            named = {f"val/{name}": value for name, value in values.items()}
            log_values(pl_module, named, shown=shown)

    def _tell(self, trainer: Trainer, values: Sums) -> None:
        ious = ", ".join(f"{values[f'iou_at_{count}']:.3f} at {count}" for count in self.clicks)
        if trainer.is_global_zero:
            logger.info(f"step {trainer.global_step}: IoU {ious} clicks on held-out images")

    def _measure(self, module: LightningModule, labeled: LabeledImage) -> Sums:
        """Sums over the first masks of one image that are seen on the grid."""
        sam = module.sam
        image, gt_masks, input_size = model_input(sam, labeled, self.max_masks)
        input_sizes = torch.tensor([input_size], device=sam.device)
        # Also where there is no mask: a sharded encoder needs all ranks for each image.
        embeddings = sam.encode(image[None].to(sam.device), input_sizes).float()
        if not len(gt_masks):
            return {"masks": 0.0}
        index = torch.zeros(len(gt_masks), dtype=torch.int64, device=sam.device)

        def decode(prompts: Prompts) -> tuple[Tensor, Tensor]:
            logits, iou_pred = (part.float() for part in sam.decode(embeddings, prompts, index))
            return most_confident(logits, iou_pred, prompts.candidates(module.rules.ambiguous))

        side = gt_masks.shape[-1]
        sizes = sizes_on_grid(input_sizes, image_size=sam.image_size, side=side)
        inside, scale = inside_image(sizes, (side, side)), sam.image_size / side
        clicked = play_clicks(decode, gt_masks, self.clicks, inside=inside, scale=scale)
        boxed = play_box(decode, gt_masks, inside=inside, scale=scale)
        return {"masks": float(len(gt_masks)), **clicked, **boxed}

    def validate(self, trainer: Trainer, pl_module: LightningModule) -> Sums:
        """Means over the masks that all ranks have seen."""
        names = [f"iou_at_{count}" for count in self.clicks]
        names += ["iou_with_box", "empty_at_1", "iou_error_at_1", "iou_overestimate_at_1", "masks"]
        sums = dict.fromkeys(names, 0.0)
        with evaluation_mode(trainer, pl_module):
            for image, weight in images_of_rank(
                self.image_sets,
                self.max_images,
                rank=trainer.global_rank,
                ranks=trainer.world_size,
            ):
                found = self._measure(pl_module, image)
                for name, value in found.items():
                    sums[name] += weight * value
        *totals, masks = sum_over_ranks(list(sums.values()), pl_module.device)
        return {name: total / max(masks, 1) for name, total in zip(names, totals, strict=False)}


def play_box(
    decode: Decode, gt_masks: Bool[Tensor, "N h w"], *, inside: Bool[Tensor, "1 h w"], scale: float
) -> Sums:
    """The sum of the IoUs that true boxes give, `inside` the image."""
    logits, _ = decode(box_prompts(to_input_frame(mask_boxes(gt_masks), scale)))
    return {"iou_with_box": mask_iou((logits > 0) & inside, gt_masks).sum().item()}


def play_clicks(
    decode: Decode,
    gt_masks: Bool[Tensor, "N h w"],
    clicks: Sequence[int],
    *,
    inside: Bool[Tensor, "1 h w"],
    scale: float,
) -> Sums:
    """Sums over masks: the IoU after each number of `clicks`, and the measures of the first click.

    What is predicted in the padding, not `inside` the image, is neither compared nor clicked.
    """
    centre = to_input_frame(mask_centre(gt_masks), scale)
    labels = torch.full((len(gt_masks),), FOREGROUND, device=gt_masks.device)
    prompts, sums = point_prompts(centre, labels), Sums()
    for count in range(1, max(clicks) + 1):
        logits, best_iou_pred = decode(prompts)
        pred_masks = (logits > 0) & inside
        iou = mask_iou(pred_masks, gt_masks)
        if count in clicks:
            sums[f"iou_at_{count}"] = iou.sum().item()
        if count == 1:
            over = best_iou_pred - iou
            sums["empty_at_1"] = (~pred_masks).flatten(1).all(1).sum().item()
            sums["iou_error_at_1"] = over.abs().sum().item()
            sums["iou_overestimate_at_1"] = over.sum().item()
        coords, labels = error_centre(pred_masks, gt_masks)
        prompts = prompts.with_masks(logits[:, None])
        prompts = prompts.add_points(to_input_frame(coords, scale), labels)
    return sums


def model_input(
    sam: Sam, labeled: LabeledImage, max_masks: int
) -> tuple[UInt8[Tensor, "3 S S"], Bool[Tensor, "N h w"], tuple[int, int]]:
    """The image in the input frame, and its masks on the decoder's grid without empty ones."""
    pixels = torch.from_numpy(labeled.load()).permute(2, 0, 1)
    size = (pixels.shape[1], pixels.shape[2])
    view = whole_view(size, sam.image_size, keeps_aspect=sam.keeps_aspect)
    side = sam.prompt_encoder.mask_input_size[0]
    masks = view_masks(labeled.masks(), *view_grid(view, sam.image_size, side), side)
    masks = masks[masks.any((1, 2))][:max_masks]
    image = view_image(pixels, view, sam.image_size)
    return image, torch.from_numpy(masks).to(sam.device), view.input_size


def images_of_rank(
    image_sets: Mapping[str, ImageSet], max_images: int, *, rank: int, ranks: int
) -> Iterator[tuple[LabeledImage, float]]:
    """This rank's share of the first images of each set, with their weight.

    All ranks get the same number, because a sharded encoder needs all of them for each image:
    where there are too few, an image is given again with the weight 0.
    """
    images = [image for image_set in image_sets.values() for image in islice(image_set, max_images)]
    for first in range(0, len(images), ranks):
        number = first + rank
        yield images[number % len(images)], float(number < len(images))


@contextmanager
def evaluation_mode(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """In evaluation mode and without gradients, in the precision of the training."""
    trained = [part for part in module.modules() if part.training]  # frozen parts are not
    module.eval()
    try:
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            yield
    finally:
        for part in trained:
            part.training = True
