"""Masks and clicks drawn onto images, for people to look at."""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

from sam_train.interaction.prompts import BACKGROUND, FOREGROUND

Colour = tuple[int, int, int]
Image = UInt8[np.ndarray, "H W 3"]

PINK: Colour = (255, 40, 160)  # rare in photographs
CLICK_COLOURS: dict[int, Colour] = {FOREGROUND: (30, 180, 60), BACKGROUND: (225, 35, 35)}
OPACITY = 0.5


def overlay_mask(image: Image, mask: Bool[np.ndarray, "h w"], colour: Colour = PINK) -> Image:
    """The image with the mask tinted; a mask of another size is stretched over it."""
    inside = _fit(mask, image)
    drawn = image.copy()
    drawn[inside] = (1 - OPACITY) * image[inside] + OPACITY * np.array(colour)
    return drawn


def overlay_outline(image: Image, mask: Bool[np.ndarray, "h w"]) -> Image:
    """The image with the mask's outline in white on black."""
    outlines, _ = cv2.findContours(
        _fit(mask, image).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    drawn = cv2.drawContours(image.copy(), outlines, -1, (0, 0, 0), 3)
    return cv2.drawContours(drawn, outlines, -1, (255, 255, 255), 1)


def overlay_clicks(
    image: Image, clicks: Sequence[tuple[float, float, int]], original_size: tuple[int, int]
) -> Image:
    """Clicks (x, y, label) in pixels of the original: foreground green, background red."""
    drawn = image.copy()
    scale = image.shape[0] / original_size[0]
    radius = max(4, max(image.shape) // 60)
    for x, y, label in clicks:
        if label in CLICK_COLOURS:  # not where the mask had no error left
            centre = (round((x + 0.5) * scale), round((y + 0.5) * scale))
            cv2.circle(drawn, centre, radius + 2, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(drawn, centre, radius, CLICK_COLOURS[label], -1, cv2.LINE_AA)
    return drawn


def overlay_instances(image: Image, masks: Sequence[Bool[np.ndarray, "h w"]]) -> Image:
    """Every mask in its own colour, the largest at the bottom."""
    drawn = image
    for index, mask in enumerate(sorted(masks, key=np.sum, reverse=True)):
        drawn = overlay_mask(drawn, mask, instance_colour(index))
    return drawn


def overlay_labels(image: Image, labels: Int[np.ndarray, "H W"]) -> Image:
    """Every label in its own colour; 0 stays as it is. Any number of labels costs the same."""
    colours = np.array([instance_colour(index) for index in range(labels.max())]).reshape(-1, 3)
    inside = labels > 0
    drawn = image.copy()
    drawn[inside] = (1 - OPACITY) * image[inside] + OPACITY * colours[labels[inside] - 1]
    return drawn


def instance_colour(index: int) -> Colour:
    """Hues a golden ratio apart, so that neighbours in the list differ."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def thumbnail(image: Image, longest_side: int) -> UInt8[np.ndarray, "h w 3"]:
    """The image with its longest side at most that long; never enlarged."""
    scale = min(1.0, longest_side / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _fit(mask: Bool[np.ndarray, "h w"], image: Image) -> Bool[np.ndarray, "H W"]:
    size = (image.shape[1], image.shape[0])
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
