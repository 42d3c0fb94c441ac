"""What can silently go wrong with a model: empty predictions, or no automatic masks any more."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer

from sam_train.data.sets.labeled_image import ImageSet
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.training.scale.ranks import sum_over_ranks
from sam_train.training.watch.interval import check_interval
from sam_train.training.watch.logged_values import log_values
from sam_train.training.watch.validation import evaluation_mode, images_of_rank

logger = logging.getLogger(__name__)


class EmptyPredictionWarning(Callback):
    """Warns once when most predictions of the last `window` steps were empty.

    Focal loss from random weights settles on empty masks; nothing is learned from there.
    """

    def __init__(self, max_share: float, window: int) -> None:
        if window < 1:
            raise ValueError(f"callbacks.empty.window is {window}; it must be at least 1 step")
        self.max_share = max_share
        self.shares: deque[float] = deque(maxlen=window)
        self.warned = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.shares.append(outputs["empty_share"])
        share = sum(self.shares) / len(self.shares)
        if len(self.shares) == self.shares.maxlen and share > self.max_share and not self.warned:
            self.warned = True
            logger.warning(
                f"{share:.0%} of the predicted masks of the last {len(self.shares)} steps are "
                "empty; lower loss.focal_weight or the learning rate, or start from weights"
            )


class AutomaticMasks(Callback):
    """Logs the number of automatic masks of an image, and warns once when most are lost.

    Thresholds on predicted IoU and stability decide what a user gets; a fine-tuned model that
    is good at prompts but no longer sure of itself gives nothing. The number before the first
    step is what later ones are compared with.
    """

    def __init__(
        self,
        *,
        image_sets: Mapping[str, ImageSet],
        every_n_steps: int,
        generator: Callable[..., SamAutomaticMaskGenerator],
        max_images: int = 4,
        smallest_share: float = 0.5,
    ) -> None:
        check_interval("automatic_masks", every_n_steps)
        self.image_sets = image_sets
        self.every_n_steps = every_n_steps
        self.generator = generator
        self.max_images = max_images
        self.smallest_share = smallest_share
        self.at_start: float | None = None
        self.warned = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.at_start is None:  # not known from a checkpoint
            self.at_start = self.count(trainer, pl_module)
            logger.info(f"{self.at_start:.1f} automatic masks an image before training")
            if not self.at_start:
                logger.warning(
                    "no automatic masks before training, so none can be lost: lower pred_iou_thresh"
                    " and stability_score_thresh of callbacks.automatic_masks.generator"
                )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_n_steps:
            return
        number = self.count(trainer, pl_module)
        log_values(pl_module, {"val/automatic_masks": number})
        if number < self.smallest_share * self.at_start and not self.warned:
            self.warned = True
            logger.warning(
                f"{number:.1f} automatic masks an image at step {trainer.global_step}, "
                f"{self.at_start:.1f} before training: predicted IoU or stability fell below "
                f"their thresholds; lower optim.lr, or freeze more (fit.adaptation.frozen)"
            )

    def count(self, trainer: Trainer, pl_module: LightningModule) -> float:
        """The mean number of masks of an image, over all ranks."""
        masks = images = 0.0
        with evaluation_mode(trainer, pl_module):
            generator = self.generator(pl_module.sam)
            for labeled, weight in images_of_rank(
                self.image_sets,
                self.max_images,
                rank=trainer.global_rank,
                ranks=trainer.world_size,
            ):
                masks += weight * len(generator.generate(labeled.load()))
                images += weight
        masks, images = sum_over_ranks([masks, images], pl_module.device)
        return masks / max(images, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"at_start": self.at_start, "warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.at_start, self.warned = state_dict["at_start"], state_dict["warned"]
