"""Teaches a decoder from random weights what a click and a box are, before it sees an image.

From random weights, focal and Dice loss first drive all masks to empty or to full, and it takes
thousands of images to come back from there. On drawn discs and rectangles, with noise for an
image embedding, the decoder learns within seconds that masks lie around clicks and in boxes.
"""

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from timm.optim import Muon
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.masks import mask_iou
from sam_train.interaction.prompts import (
    FOREGROUND,
    Prompts,
    box_prompts,
    boxes_or_points,
    point_prompts,
)
from sam_train.interaction.sampling import to_input_frame
from sam_train.modeling.maps.cells import fold_twice
from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """Trains prompt encoder and decoder on `steps` batches of drawn shapes.

    `min_radius` and `max_radius` are shares of the input frame's side, sides vary by a factor
    of 1.5 around them. Muon (Jordan et al. 2024) needs half the steps of AdamW here; `lr` is
    its rate in the units of AdamW (`match_rms_adamw`) and ten times that of tables and biases.
    """

    steps: int
    batch_size: int = 32  # shapes
    lr: float = 9.0e-3
    min_radius: float = 0.03
    max_radius: float = 0.3
    seed: int = 0

    def __call__(self, sam: Sam) -> None:
        """Trains in place; the image encoder is not touched."""
        generator = torch.Generator().manual_seed(self.seed)
        optimizer = self._optimizer(sam)
        # Dice alone: with few pixels in a mask, focal loss is satisfied by empty masks.
        loss = MaskLoss(focal_weight=0.0, iou_loss_on="all")
        iou = 0.0
        logger.info(f"warm start: {self.steps} steps on drawn shapes")
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["max_lr"] * min((step + 1) / 10, 1 - step / self.steps)
            iou = self._step(sam, loss, optimizer, generator)
        logger.info(f"warm start: IoU {iou:.2f} on drawn shapes")

    def _optimizer(self, sam: Sam) -> torch.optim.Optimizer:
        """Muon for matrices and kernels, AdamW for tables, norms and biases."""
        tables = {id(m.weight) for m in sam.modules() if isinstance(m, nn.Embedding)}
        parameters = [*sam.prompt_encoder.parameters(), *sam.mask_decoder.parameters()]
        matrices = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
        others = [p for p in parameters if p.ndim == 1 or id(p) in tables]
        return Muon(
            [
                {"params": matrices, "max_lr": self.lr},
                {"params": others, "max_lr": self.lr / 10, "use_fallback": True},
            ],
            lr=self.lr,
            weight_decay=0.05,
        )

    def _step(
        self, sam: Sam, loss: MaskLoss, optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> float:
        """Makes one step; the IoU of its batch."""
        prompts, masks = self._draw(sam, generator)
        embeddings = noise_embeddings(sam, masks, generator)
        low_res_logits, iou_pred = sam.decode(
            embeddings, prompts, torch.arange(self.batch_size, device=sam.device)
        )
        losses = []
        for tokens in (slice(0, 1), slice(1, None)):  # the single mask and the three
            logits, predicted = low_res_logits[:, tokens], iou_pred[:, tokens]
            candidates = torch.ones_like(predicted, dtype=torch.bool)
            losses.append(loss(logits, predicted, masks, candidates)["loss"].mean())
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        return mask_iou(low_res_logits[:, 0] > 0, masks).mean().item()

    def _draw(self, sam: Sam, generator: torch.Generator) -> tuple[Prompts, Bool[Tensor, "N h w"]]:
        """Discs and rectangles on the decoder's grid, half prompted by a point, half by a box."""
        count, side = self.batch_size, sam.prompt_encoder.mask_input_size[0]
        draws = torch.rand(count, 8, generator=generator).split([2, 2, 1, 2, 1], dim=1)
        place, stretch, kind, offset, growth = draws
        centre = place * side
        size = self.min_radius * (self.max_radius / self.min_radius) ** growth
        radius = (side * size * 1.5 ** (2 * stretch - 1)).clamp(min=1.0)
        axis = torch.arange(side)
        x = (axis[None, None, :] - centre[:, 0, None, None]) / radius[:, 0, None, None]
        y = (axis[None, :, None] - centre[:, 1, None, None]) / radius[:, 1, None, None]
        is_box, is_rectangle = kind[:, 0] < 0.5, kind[:, 0] < 0.25
        ellipses, rectangles = x.square() + y.square() <= 1, torch.maximum(x.abs(), y.abs()) <= 1
        masks = torch.where(is_rectangle[:, None, None], rectangles, ellipses)

        scale = sam.image_size / side
        click = centre + (offset - 0.5) * radius
        click = to_input_frame(click.clamp(0, side - 1), scale)
        box = torch.cat([centre - radius, centre + radius], dim=1).clamp(0, side - 1)
        box = to_input_frame(box, scale)
        points, boxes = point_prompts(click, torch.full((count,), FOREGROUND)), box_prompts(box)
        prompts = boxes_or_points(is_box, boxes, points)
        return prompts.to(sam.device), masks.to(sam.device)


def noise_embeddings(
    sam: Sam, masks: Bool[Tensor, "N side side"], generator: torch.Generator
) -> Float[Tensor, "N embedding h w"]:
    """What the image encoder would give for noise: its code of positions and random content.

    Details are zero and the affinity features those of `masks`, in a model that has them.
    """
    encoder = sam.image_encoder
    position = encoder.position_code.detach()
    noise = torch.randn(len(masks), *position.shape[1:], generator=generator).to(position)
    content = position + noise * encoder.neck[-1].weight.detach()[:, None, None]
    if sam.prompt_encoder.prompt_maps is None:
        return content
    affinity = fold_twice(noisy_affinity(masks, encoder.affinity_dim, generator))
    details = content.new_zeros(len(masks), 3 * content.shape[1], *content.shape[2:])
    return torch.cat([content, details, affinity.to(content)], dim=1)


def noisy_affinity(
    masks: Bool[Tensor, "N side side"], dim: int, generator: torch.Generator
) -> Float[Tensor, "N dim side side"]:
    """Unit vectors that are alike within a mask and, wrongly, within another mask of the batch too.

    The noise has the length of the signal, which makes the cosine of two pixels of a mask 0.5.
    """
    kinds = torch.randn(2, len(masks), dim, 1, 1, generator=generator)
    inside, outside = F.normalize(kinds, dim=2).to(masks.device)
    noise = torch.randn(len(masks), dim, *masks.shape[1:], generator=generator) / dim**0.5
    alike = (masks | masks.roll(1, 0))[:, None]
    return F.normalize(torch.where(alike, inside, outside) + noise.to(masks.device), dim=1)
