"""What is counted while the records of a shard or a dataset version pass by."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sam_train.data.records import Record, mask_phase

SMALL, LARGE = 32**2, 96**2  # pixels; the classes of COCO's evaluation


@dataclass
class Holdings:
    """Counts of images and masks. They take the same memory for any number of records."""

    masks_per_image: Counter[int] = field(default_factory=Counter)
    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    mask_sizes: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Counts one image and its masks."""
        self.image_sizes[record["image"]["width"], record["image"]["height"]] += 1
        self.masks_per_image[len(record["annotations"])] += 1
        for annotation in record["annotations"]:
            area = annotation["area"]
            size = "small" if area < SMALL else "medium" if area < LARGE else "large"
            self.mask_sizes[size] += 1
            self.phases[mask_phase(annotation)] += 1

    def lines(self) -> Iterator[str]:
        """The figures, a line for each kind."""
        images, masks = self.masks_per_image.total(), self.mask_sizes.total()
        yield f"images      {images:,}"
        if not images:
            return
        smallest, largest = (bound(self.image_sizes, key=math.prod) for bound in (min, max))
        yield f"sizes       {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]}"
        fewest, most = min(self.masks_per_image), max(self.masks_per_image)
        yield f"masks       {masks:,}: {fewest} to {most} an image, {masks / images:.1f} on average"
        yield f"mask sizes  {_shares(self.mask_sizes)} (as COCO: below 32^2, below 96^2 pixels)"
        yield f"phases      {_shares(self.phases)}"


def _shares(counts: Counter[str]) -> str:
    total = max(1, counts.total())
    return ", ".join(f"{100 * n / total:.0f} % {name}" for name, n in counts.most_common())
