"""The way into the model's input frame: images, points and boxes, longest side first."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


class ResizeLongestSide:
    """Resizes images, points and boxes so that the longest side becomes `target_length` pixels.

    Sizes are (H, W) and rounded half up. Coordinates are (x, y) and scaled by the rounded sizes,
    so the two axes differ a little; boxes are XYXY.
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_image(self, image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Resizes with PIL's antialiased bilinear filter, the one SAM was evaluated with."""
        height, width = self._resized_size(image.shape[:2])
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        return np.array(resized)

    def apply_image_torch(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        """Resizes a batch on its device; up to rounding to whole grey values, as `apply_image`."""
        size = self._resized_size(image.shape[-2:])
        return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords(
        self, coords: Num[np.ndarray, "*batch 2"], original_size: tuple[int, int]
    ) -> Float[np.ndarray, "*batch 2"]:
        return coords * np.array(self._scale_xy(original_size))

    def apply_boxes(
        self, boxes: Num[np.ndarray, "*batch 4"], original_size: tuple[int, int]
    ) -> Float[np.ndarray, "N 4"]:
        return self.apply_coords(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_coords_torch(
        self, coords: Num[Tensor, "*batch 2"], original_size: tuple[int, int]
    ) -> Float[Tensor, "*batch 2"]:
        return coords.float() * torch.tensor(self._scale_xy(original_size), device=coords.device)

    def apply_boxes_torch(
        self, boxes: Num[Tensor, "*batch 4"], original_size: tuple[int, int]
    ) -> Float[Tensor, "N 4"]:
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """The (H, W) after resizing the longest side; a thin image keeps one pixel."""
        scale = long_side_length / max(oldh, oldw)
        return max(1, int(oldh * scale + 0.5)), max(1, int(oldw * scale + 0.5))

    def _resized_size(self, size: Sequence[int]) -> tuple[int, int]:
        height, width = size
        return self.get_preprocess_shape(height, width, self.target_length)

    def _scale_xy(self, original_size: tuple[int, int]) -> tuple[float, float]:
        height, width = original_size
        new_height, new_width = self._resized_size(original_size)
        return new_width / width, new_height / height


class ResizeToSquare(ResizeLongestSide):
    """Stretches images to a square as EfficientSAM does, bilinear without antialias."""

    def apply_image(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w 3"]:
        size = (self.target_length, self.target_length)
        return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)

    def apply_image_torch(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        return F.interpolate(image, self._resized_size(image.shape[-2:]), mode="bilinear")

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        return long_side_length, long_side_length
