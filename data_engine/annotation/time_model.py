"""How long a simulated annotator takes: a model of clicks and brush strokes."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8


@dataclass(frozen=True)
class AnnotationTime:
    """Seconds of the single actions. Lengths are those on the annotator's screen."""

    seconds_to_find: float = 3.0  # to decide on the next object and to move there
    seconds_per_click: float = 1.5  # to look at the mask, aim and click
    seconds_per_removal: float = 1.5  # to find and delete a wrong prefilled mask
    seconds_per_stroke: float = 1.0  # to start a brush stroke
    stroke_pixels_per_second: float = 200.0  # careful tracing
    brush_radius: float = 8.0  # screen pixels; errors nearer than this are one stroke
    screen_pixels: int = 1000  # the image's longest side on the screen

    def magnification(self, image_size: tuple[int, int]) -> float:
        """Screen pixels per image pixel."""
        return self.screen_pixels / max(image_size)

    def stroke_seconds(self, stroke: "Stroke", image_size: tuple[int, int]) -> float:
        length = stroke.length * self.magnification(image_size)
        return self.seconds_per_stroke + length / self.stroke_pixels_per_second


@dataclass(frozen=True)
class Stroke:
    """One connected error to brush over: XYXY box, 1 to paint or 0 to erase, length in pixels."""

    box: tuple[float, float, float, float]
    label: int
    length: float


def brush_strokes(
    mask: Bool[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"], *, radius: float
) -> list[Stroke]:
    """The strokes that turn `mask` into `known`, largest first.

    Errors closer than the brush's `radius` (image pixels) are joined. An error is traced along
    one of its sides, so a stroke is half as long as the outline of the joined error.
    """
    errors = (mask ^ known).astype(np.uint8)
    size = 2 * max(round(radius), 0) + 1
    joined = cv2.dilate(errors, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    count, regions, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    strokes = []
    for region in range(1, count):
        x, y, width, height, _ = (int(value) for value in stats[region])
        window = np.s_[y : y + height, x : x + width]
        inside = regions[window] == region
        missing = (inside & known[window] & ~mask[window]).sum()
        excess = (inside & mask[window] & ~known[window]).sum()
        length = outline_length(inside.astype(np.uint8)) / 2
        box = (float(x), float(y), float(x + width), float(y + height))
        strokes.append(Stroke(box, int(missing >= excess), length))
    return sorted(strokes, key=lambda stroke: -stroke.length)


def outline_length(region: UInt8[np.ndarray, "H W"]) -> float:
    """The length in pixels of a region's outlines, holes included."""
    contours, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return float(sum(cv2.arcLength(contour, closed=True) for contour in contours))
