"""What a teacher's image encoder says about every image of a dataset (MobileSAM, section 3)."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16

from sam_train.data.records import BadSample, Sample
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.embeddings import check_room, is_cached, open_cache, write_rows
from sam_train.data.store.manifest import Dataset, Manifest
from sam_train.data.transforms import decode_image, view_image, whole_view
from sam_train.modeling.checkpoint import weights_sha256
from sam_train.modeling.sam import Sam

logger = logging.getLogger(__name__)


@torch.no_grad()
def embed_version(
    sam: Sam,
    dataset: Dataset,
    manifest: Manifest,
    folder: Path,
    *,
    batch_size: int,
    on_bad: OnBad,
) -> int:
    """Fills a cache with the embeddings of a version, shard by shard, and returns their number.

    Every image is seen whole, as at inference. Raises at the start OSError where the disk has not
    the room for all, ValueError where a tar is not the one of the version: its cache would be
    taken for whole. Finished shards are kept, so an interrupted run goes on.
    """
    shape = embedding_shape(sam)
    card = {
        "teacher_sha256": weights_sha256(sam),
        "image_size": sam.image_size,
        "keeps_aspect": sam.keeps_aspect,
        "shape": list(shape),
    }
    folder.mkdir(parents=True, exist_ok=True)
    open_cache(folder, card)
    pending = [
        entry
        for entry in manifest.shards
        if not is_cached(folder, Path(entry.images).stem, shape, entry.images_sha256)
    ]
    for entry in pending:
        dataset.verify_entry(entry)
    images = sum(entry.image_count for entry in pending)
    needed = images * int(np.prod(shape)) * 2
    logger.info(f"{images} images in {len(pending)} shards take {needed / 1e9:.2f} GB in {folder}")
    check_room(folder, needed)
    count = 0
    for number, entry in enumerate(pending, start=1):
        samples = dataset.samples(entry, on_bad=on_bad)
        embedded = embed(sam, samples, batch_size=batch_size, shard=entry.images, on_bad=on_bad)
        count += write_rows(
            folder, Path(entry.images).stem, embedded, images_sha256=entry.images_sha256
        )
        logger.info(f"{number} of {len(pending)} shards: {count} images")
    return count


def embed(
    sam: Sam, samples: Iterable[Sample], *, batch_size: int, shard: str, on_bad: OnBad
) -> Iterator[tuple[str, Float16[np.ndarray, "C h w"]]]:
    """The key and the embedding of each image that can be decoded."""
    inputs = _model_inputs(sam, samples, shard, on_bad)
    while batch := list(islice(inputs, batch_size)):
        keys, images, input_sizes = zip(*batch, strict=True)
        embeddings = sam.encode(
            torch.stack(images).to(sam.device), torch.tensor(input_sizes, device=sam.device)
        )
        yield from zip(keys, embeddings.half().cpu().numpy(), strict=True)


def _model_inputs(
    sam: Sam, samples: Iterable[Sample], shard: str, on_bad: OnBad
) -> Iterator[tuple[str, torch.Tensor, tuple[int, int]]]:
    """Images (3, S, S) of the input frame with their keys and sizes within it."""
    for sample in samples:
        try:
            image = decode_image(sample.image_bytes)
        except BadSample as error:
            on_bad(shard, sample.key, error)
            continue
        size = (image.shape[1], image.shape[2])
        view = whole_view(size, sam.image_size, keeps_aspect=sam.keeps_aspect)
        yield sample.key, view_image(image, view, sam.image_size), view.input_size


@torch.no_grad()
def embedding_shape(sam: Sam) -> tuple[int, int, int]:
    """(C, h, w) of what the encoder gives for one image."""
    side = sam.image_size
    image = torch.zeros(1, 3, side, side, dtype=torch.uint8, device=sam.device)
    shape = sam.encode(image, torch.tensor([[side, side]], device=sam.device)).shape
    return shape[1], shape[2], shape[3]
