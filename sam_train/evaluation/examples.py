"""Pictures of objects as the simulated annotator segments them, click by click."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from sam_train.data.images import encode_jpeg
from sam_train.data.rle import decode_rle
from sam_train.data.sets.image_sets import ImageSet
from sam_train.data.store.shards import OnBad
from sam_train.evaluation.clicks import ClickRound, click_rounds
from sam_train.evaluation.datasets import EvaluatedImage, evaluated_images
from sam_train.evaluation.overlays import (
    Image,
    overlay_clicks,
    overlay_mask,
    overlay_outline,
    thumbnail,
)
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.sam import Sam
from sam_train.training.losses import mask_iou

PICTURE_SIDE = 288  # pixels of the longest side


def click_examples(
    sam: Sam,
    image_sets: Sequence[ImageSet],
    count: int,
    *,
    output_dir: Path,
    clicks: Sequence[int] = (1, 3),
    on_bad: OnBad | None = None,
) -> list[dict]:
    """Draws one object of each of `count` images, the sets in turn, as JPEG files.

    Objects are drawn by the hash of their key, not picked. Each example is `{"set", "key",
    "mask_id", "truth": file, "predictions": [{"clicks", "iou", "file"}]}`, the files named
    relative to `output_dir`. Predictions carry the outline of the truth and the clicks.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    predictor = SamPredictor(sam.eval())
    examples: list[dict] = []
    for name, evaluated in islice(_in_turn(image_sets, count, on_bad), count):
        stem = f"{len(examples):02d}"
        example = _draw_example(predictor, evaluated, clicks, output_dir / stem)
        examples.append({"set": name, "key": evaluated.key, **example})
    return examples


def _in_turn(
    image_sets: Sequence[ImageSet], count: int, on_bad: OnBad | None
) -> Iterator[tuple[str, EvaluatedImage]]:
    """The first drawn image of every set, then the second of every set, and so on."""
    queues = {
        image_set.name: evaluated_images(
            image_set, max_masks=count, max_masks_per_image=1, on_bad=on_bad
        )
        for image_set in image_sets
    }
    while queues:
        for name in list(queues):
            evaluated = next(queues[name], None)
            if evaluated is None:
                del queues[name]
            else:
                yield name, evaluated


def _draw_example(
    predictor: SamPredictor, evaluated: EvaluatedImage, clicks: Sequence[int], stem: Path
) -> dict:
    ((mask_id, rle),) = evaluated.masks.items()
    truth = decode_rle(rle)
    gt_masks = torch.from_numpy(truth)[None].to(predictor.device)
    picture = thumbnail(evaluated.image, PICTURE_SIDE)
    predictions = []

    predictor.set_image(evaluated.image)
    for number, played in enumerate(click_rounds(predictor, gt_masks, max(clicks)), start=1):
        if number in clicks:
            drawn = overlay_outline(_draw_round(picture, played, truth.shape), truth)
            predictions.append(
                {
                    "clicks": number,
                    "iou": float(mask_iou(played.pred_masks, gt_masks)),
                    "file": _write(Path(f"{stem}-{number}-clicks.jpg"), drawn),
                }
            )
    drawn = overlay_outline(overlay_mask(picture, truth), truth)
    file = _write(Path(f"{stem}-truth.jpg"), drawn)
    return {"mask_id": mask_id, "truth": file, "predictions": predictions}


def _draw_round(picture: Image, played: ClickRound, original_size: tuple[int, int]) -> Image:
    drawn = overlay_mask(picture, played.pred_masks[0].cpu().numpy())
    coords, labels = played.point_coords[0].tolist(), played.point_labels[0].tolist()
    clicks = [(x, y, label) for (x, y), label in zip(coords, labels, strict=True)]
    return overlay_clicks(drawn, clicks, original_size)


def _write(path: Path, picture: Image) -> str:
    path.write_bytes(encode_jpeg(picture, quality=80))
    return path.name
