"""In which order people get the images of a pool; each policy is a function."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from data_engine.duplicates import SeenPictures, fingerprint
from data_engine.service.workbench.embeddings import PreparedImage
from sam_train.data.images import read_image
from sam_train.evaluation.models.sam import best_device, known_checkpoint, load_sam
from sam_train.inference.point_grid import build_point_grid
from sam_train.inference.predictor import SamPredictor

logger = logging.getLogger(__name__)

Images = Iterable[PreparedImage]
Policy = Callable[[Images], list[str]]
Prepare = Callable[[str], PreparedImage]  # by key; ValueError or OSError if it cannot be read


@dataclass(frozen=True)
class Order:
    """The keys in order, and which of them look like one before and are left out.

    Only the first `considered` images are looked at, each is encoded for it; the rest follow as
    they come. Without a `policy` and `drop_near_duplicates` nothing is looked at.
    """

    policy: Policy | None = None
    drop_near_duplicates: bool = False
    considered: int = 1000

    def __post_init__(self) -> None:
        if self.considered < 1:
            raise ValueError(f"order.considered is {self.considered}: at least 1 is needed")

    def __call__(self, keys: Sequence[str], prepare: Prepare) -> tuple[list[str], dict[str, str]]:
        if self.policy is None and not self.drop_near_duplicates:
            return list(keys), {}
        first = list(keys[: self.considered])
        logger.info(f"order: looking at {len(first)} of {len(keys)} images")
        twins: dict[str, str] = {}
        usable = self._usable(first, prepare, twins)
        ranked = [image.key for image in usable] if self.policy is None else self.policy(usable)
        seen = {*ranked, *twins}
        return [*ranked, *(key for key in keys if key not in seen), *twins], twins

    def _usable(
        self, keys: Sequence[str], prepare: Prepare, twins: dict[str, str]
    ) -> Iterable[PreparedImage]:
        """The images that can be read and look like none before; notes the twins of the others."""
        seen = SeenPictures()
        for key in keys:
            try:
                image = prepare(key)
            except (ValueError, OSError) as error:  # told to whoever gets it
                logger.warning(f"order: {key}: {error}")
                continue
            twin = None
            if self.drop_near_duplicates:
                picture = fingerprint(read_image(image.jpeg), near=True)
                twin = seen.twin_or_add(key, picture)
            if twin is None:
                yield image
            else:
                twins[key] = twin


def shuffled(images: Images, *, seed: int = 0) -> list[str]:
    keys = [image.key for image in images]
    return [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))]


def most_uncertain(images: Images, *, points_per_side: int = 8) -> list[str]:
    """First the images in whose masks, clicked on a grid, the model trusts least."""
    trust = {}
    for image in images:
        _, iou_pred = grid_masks(image.predictor, points_per_side)
        trust[image.key] = iou_pred.mean().item()
    return ranked(trust)


@dataclass(frozen=True)
class MostDisagreeing:
    """First the images on which the model and a `previous` one agree least.

    Both are clicked on the same grid; the overlap of their masks is the agreement.
    """

    previous: str
    model_type: str | None = None
    points_per_side: int = 8

    def __call__(self, images: Images) -> list[str]:
        path = known_checkpoint(Path(self.previous), self.model_type)
        previous = SamPredictor(load_sam(path, self.model_type, best_device(None)).eval())
        agreement = {}
        for image in images:
            previous.set_image(read_image(image.jpeg))
            now, _ = grid_masks(image.predictor, self.points_per_side)
            before, _ = grid_masks(previous, self.points_per_side)
            agreement[image.key] = overlap(now, before)
        return ranked(agreement)


def most_diverse(images: Images) -> list[str]:
    """Each image the one that is least like those before it, by the mean of its embedding.

    The first is the most typical one. (k-center greedy: Sener and Savarese, 2018.)
    """
    keys, means = [], []
    for image in images:
        keys.append(image.key)
        mean = image.predictor.get_image_embedding().float().mean((2, 3))[0]
        means.append((mean / mean.norm().clamp_min(1e-9)).cpu().numpy())
    return [keys[i] for i in farthest_first(np.stack(means))] if keys else []


def farthest_first(points: Float[np.ndarray, "N C"]) -> list[int]:
    """The point nearest to the mean, then always the one farthest from all that were taken."""
    order = [int(np.linalg.norm(points - points.mean(0), axis=1).argmin())]
    distance = np.linalg.norm(points - points[order[0]], axis=1)
    distance[order[0]] = -1
    while len(order) < len(points):
        order.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[order[-1]], axis=1))
        distance[order] = -1
    return order


def ranked(scores: Mapping[str, float]) -> list[str]:
    """The lowest score first; of equal ones, the first."""
    return sorted(scores, key=lambda key: scores[key])


@torch.inference_mode()
def grid_masks(
    predictor: SamPredictor, points_per_side: int
) -> tuple[Float[Tensor, "N h w"], Float[Tensor, " N"]]:
    """The most confident low-resolution logits of each point of a grid, and their scores."""
    height, width = predictor.input_size
    grid = build_point_grid(points_per_side) * [width, height]
    coords = torch.as_tensor(grid, dtype=torch.float32, device=predictor.device)[:, None]
    labels = torch.ones(coords.shape[:2], dtype=torch.int, device=predictor.device)
    logits, iou_pred = predictor.predict_low_res(coords, labels, multimask_output=True)
    each = torch.arange(len(logits), device=logits.device)
    best = iou_pred.argmax(1)
    return logits[each, best].float(), iou_pred[each, best].float()


def overlap(now: Float[Tensor, "N h w"], before: Float[Tensor, "N h1 w1"]) -> float:
    """The mean IoU of the masks of two models; two empty masks agree."""
    if now.shape != before.shape:  # models of two input sizes
        before = torch.nn.functional.interpolate(before[None], now.shape[-2:], mode="bilinear")[0]
    one, other = (now > 0).flatten(1), (before.to(now.device) > 0).flatten(1)
    both, either = (one & other).sum(1), (one | other).sum(1)
    return torch.where(either > 0, both / either.clamp_min(1), 1.0).mean().item()
