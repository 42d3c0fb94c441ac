"""Public sets by name: where to get them, and how many images and masks others evaluated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam_train.data.sets.labeled_image import ImageSet, LabeledImage


@dataclass(frozen=True)
class PublicSet:
    """A set with the numbers of images with masks and of masks in the paper.

    Of a set that the paper thinned, `sample` is how many masks ours holds if the set is whole.
    """

    image_set: ImageSet
    images: int | None = None
    masks: int | None = None
    sample: int | None = None

    @property
    def name(self) -> str:
        return self.image_set.name

    def __len__(self) -> int:
        return len(self.image_set)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self.image_set)


def public_set(
    image_set: Callable[[], ImageSet],
    *,
    obtain: str,
    images: int | None = None,
    masks: int | None = None,
    sample: int | None = None,
) -> PublicSet:
    """Builds a set that is not shipped; where it is not there, the error says where to get it."""
    try:
        return PublicSet(image_set(), images, masks, sample)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; obtain it: {obtain}") from error


def other_counts(
    image_sets: Sequence[ImageSet], summaries: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """A sentence for each set that was evaluated on other images or masks than in the paper.

    `summaries` are the numbers of each set by its name.
    """
    said = []
    for image_set in image_sets:
        found = summaries.get(image_set.name)
        if found is None or not isinstance(image_set, PublicSet):
            continue
        for kind in ("images", "masks"):
            expected = getattr(image_set, kind)
            if expected is not None and found[kind] != expected:
                counts = f"{found[kind]} {kind} were evaluated, {expected} in the paper"
                said.append(f"{image_set.name}: {counts}")
        if image_set.sample is not None and found["masks"] < image_set.sample:
            counts = (
                f"only {found['masks']} masks were evaluated, {image_set.sample} if it is whole"
            )
            said.append(f"{image_set.name}: {counts}")
    return said
