"""The simulated annotator of SAM's training (App. A): which prompt comes next, round by round."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sam_train.interaction.draws import mix_seeds, uniform
from sam_train.interaction.masks import enlarge, inside_image
from sam_train.interaction.prompts import Prompts, box_prompts, boxes_or_points, point_prompts
from sam_train.interaction.sampling import (
    error_point,
    mask_boxes,
    noisy_boxes,
    pixel_at,
    to_input_frame,
)

# Streams of random draws.
FIRST_KIND, FIRST_POINT, BOX_NOISE, CORRECTION, NUM_CORRECTIONS = range(5)


class TrainingAnnotator:
    """Draws prompts for known masks; a pure function of the objects' seeds.

    Each step plays `num_corrections` rounds after the first, or as many as it draws between
    `fewest_corrections` and that: fewer rounds leave time for more images.
    `box_noise_max` is in pixels of a 1024-pixel frame and shrinks with the input (the paper
    does not say which frame it means). `mask_feedback` off leaves out the mask prompts.
    """

    def __init__(
        self,
        *,
        num_corrections: int = 8,
        fewest_corrections: int | None = None,
        rounds_without_point: int = 2,
        box_probability: float = 0.5,
        box_noise_std: float = 0.1,
        box_noise_max: float = 20.0,
        mask_feedback: bool = True,
    ) -> None:
        if num_corrections < 0:
            raise ValueError(f"num_corrections is {num_corrections}; it must be at least 0")
        fewest = num_corrections if fewest_corrections is None else fewest_corrections
        if not 0 <= fewest <= num_corrections:
            raise ValueError(
                f"fewest_corrections is {fewest_corrections}; it must be from 0 to "
                f"num_corrections, {num_corrections}"
            )
        if not 0 <= box_probability <= 1:
            raise ValueError(f"box_probability is {box_probability}; it must be from 0 to 1")
        self.num_corrections = num_corrections
        self.fewest_corrections = fewest
        self.rounds_without_point = rounds_without_point
        self.box_probability = box_probability
        self.box_noise_std = box_noise_std
        self.box_noise_max = box_noise_max
        self.mask_feedback = mask_feedback

    def __call__(
        self,
        prompts: Prompts | None,
        low_res_logits: Float[Tensor, "N h w"] | None,
        *,
        gt_masks: Bool[Tensor, "N H W"],
        seeds: Int[Tensor, " N"],
        sizes: Int[Tensor, "N 2"],
        image_size: int,
        new_point: bool,
    ) -> Prompts:
        """The prompts of the next round, the first if there are none yet.

        `low_res_logits` are those of the one mask that the annotator looks at: the one with
        the highest predicted IoU. `sizes` are the images' (H, W) within the masks' grid,
        `image_size` is the side of the input frame.
        """
        if prompts is None or low_res_logits is None:
            return self.first_prompt(gt_masks, seeds, sizes=sizes, image_size=image_size)
        if self.mask_feedback:
            prompts = prompts.with_masks(low_res_logits[:, None])
        if not new_point:
            return prompts
        draw = uniform(mix_seeds(seeds, CORRECTION), prompts.point_coords.shape[1])
        coords, labels = self._correction(low_res_logits, gt_masks, draw, sizes)
        return prompts.add_points(to_input_frame(coords, image_size / gt_masks.shape[-1]), labels)

    def plan(self, seed: int) -> list[bool]:
        """One entry for each round: whether it brings a new prompt.

        The first does. Of the rounds without a new point the last round is always one; the
        others lie at random places among the corrections. It depends on `seed` alone, so all
        ranks play the same rounds.
        """
        seeds = torch.tensor([seed])
        choices = self.num_corrections - self.fewest_corrections + 1
        drawn = int(uniform(mix_seeds(seeds, NUM_CORRECTIONS), 0).item() * choices)
        corrections = [True] * (self.fewest_corrections + drawn)
        extra, last = max(self.rounds_without_point - 1, 0), min(self.rounds_without_point, 1)
        for number in range(extra):
            draw = uniform(seeds, number).item()
            corrections.insert(int(draw * (len(corrections) + 1)), False)
        return [True, *corrections, *[False] * last]

    def first_prompt(
        self,
        gt_masks: Bool[Tensor, "N H W"],
        seeds: Int[Tensor, " N"],
        *,
        sizes: Int[Tensor, "N 2"],
        image_size: int,
    ) -> Prompts:
        """A uniform foreground point or a noisy box, drawn for each object alone."""
        scale = image_size / gt_masks.shape[-1]
        points, _ = pixel_at(gt_masks, uniform(seeds, FIRST_POINT))
        boxes = noisy_boxes(
            mask_boxes(gt_masks),
            mix_seeds(seeds, BOX_NOISE),
            std=self.box_noise_std,
            max_noise=self.box_noise_max * gt_masks.shape[-1] / 1024,
            frame=sizes,
        )
        by_point = point_prompts(to_input_frame(points, scale), seeds.new_ones(len(seeds)))
        by_box = box_prompts(to_input_frame(boxes, scale))
        is_box = uniform(seeds, FIRST_KIND) < self.box_probability
        return boxes_or_points(is_box, by_box, by_point)

    def _correction(
        self,
        low_res_logits: Float[Tensor, "N h w"],
        gt_masks: Bool[Tensor, "N H W"],
        draw: Float[Tensor, " N"],
        sizes: Int[Tensor, "N 2"],
    ) -> tuple[Float[Tensor, "N 2"], Int[Tensor, " N"]]:
        """A point in the error of the prediction, in the masks' grid."""
        pred_masks = enlarge(low_res_logits[:, None], gt_masks)[:, 0] > 0
        inside = inside_image(sizes, gt_masks.shape[-2:])
        return error_point(pred_masks, gt_masks, draw, inside=inside)
