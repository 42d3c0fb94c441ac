"""Masks for one image and any number of prompts; the image is encoded once."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sam_train.inference.resize import ResizeLongestSide, ResizeToSquare
from sam_train.modeling.sam import Sam

NO_IMAGE = "An image must be set with .set_image(...) before mask prediction."


class SamPredictor:
    """A drop-in for `segment_anything.SamPredictor`: the same arguments, shapes and dtypes."""

    def __init__(self, sam_model: nn.Module) -> None:
        """Raises TypeError for a network of another package, as that of `segment_anything`."""
        check_model(sam_model)
        self.model = sam_model
        resize = ResizeLongestSide if sam_model.keeps_aspect else ResizeToSquare
        self.transform = resize(sam_model.image_encoder.img_size)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        return self.model.device

    def reset_image(self) -> None:
        """Forgets the image and frees its embedding."""
        self.is_image_set = False
        self.features: Tensor | None = None
        self.original_size: tuple[int, int] | None = None
        self.input_size: tuple[int, int] | None = None
        self.orig_h: int | None = None
        self.orig_w: int | None = None
        self.input_h: int | None = None
        self.input_w: int | None = None

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Encodes an (H, W, 3) uint8 image, "RGB" or "BGR"."""
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"image_format must be RGB or BGR, not {image_format!r}.")
        self.reset_image()  # prompts shall not meet the image before, if this one is refused
        check_image(image)
        if image_format != self.model.image_format:
            image = image[..., ::-1]

        resized = self.transform.apply_image(image)
        batch = torch.as_tensor(resized, device=self.device).permute(2, 0, 1)[None]
        self.set_torch_image(batch.contiguous(), image.shape[:2])

    @torch.no_grad()
    def set_torch_image(
        self, transformed_image: Tensor, original_image_size: Sequence[int]
    ) -> None:
        """Encodes a (1, 3, h, w) image, 0 to 255, that `transform` brought to the input frame.

        `original_image_size` is (H, W) before the transform; masks are made at that size.
        """
        side, shape = self.model.image_encoder.img_size, tuple(transformed_image.shape)
        if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != side:
            raise ValueError(
                f"set_torch_image takes images of shape (1, 3, H, W) whose longest side is {side}, "
                f"not {shape}: resize with predictor.transform.apply_image_torch."
            )
        features = self.model.image_encoder(self.model.preprocess(transformed_image.float()))
        self.set_embedding(features, shape[2:], original_image_size)

    def set_embedding(
        self,
        features: Float[Tensor, "1 C h w"],
        input_size: Sequence[int],
        original_size: Sequence[int],
    ) -> None:
        """Takes an image that was embedded elsewhere: in a batch, or earlier.

        Sizes are (H, W) in the input frame and before.
        """
        self.reset_image()
        self.features = features
        self.orig_h, self.orig_w = map(int, original_size)
        self.input_h, self.input_w = map(int, input_size)
        self.original_size = (self.orig_h, self.orig_w)
        self.input_size = (self.input_h, self.input_w)
        self.is_image_set = True

    def predict(
        self,
        point_coords: np.ndarray | Sequence | None = None,
        point_labels: np.ndarray | Sequence | None = None,
        box: np.ndarray | Sequence | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, Float[np.ndarray, " M"], Float[np.ndarray, "M h w"]]:
        """Predicts the masks of one object of the image.

        Points are (P, 2) as (x, y) with (P,) labels, 1 foreground and 0 background; the box is
        XYXY; all in pixels of the original image. `mask_input` (1, h, w) is the logits of an
        earlier prediction. Returns the masks (M, H, W) at the original size (boolean, or logits),
        their predicted IoU, and low-resolution logits to feed back.
        """
        if not self.is_image_set:
            raise RuntimeError(NO_IMAGE)
        points = self._points(point_coords, point_labels)
        boxes = None if box is None else self._box(box)
        masks = None if mask_input is None else self._mask(mask_input)
        outputs = self.predict_torch(*points, boxes, masks, multimask_output, return_logits)
        masks, iou_pred, low_res_logits = (output[0].cpu().numpy() for output in outputs)
        return masks, iou_pred, low_res_logits

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Float[Tensor, "N P 2"] | None,
        point_labels: Tensor | None,
        boxes: Float[Tensor, "N 4"] | None = None,
        mask_input: Float[Tensor, "N 1 h w"] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Float[Tensor, "N M"], Float[Tensor, "N M h w"]]:
        """Predicts the masks (N, M, H, W) of N objects at once; prompts are in the input frame."""
        low_res_logits, iou_pred = self.predict_low_res(
            point_coords, point_labels, boxes, mask_input, multimask_output
        )
        masks = self.upscale(low_res_logits)
        if not return_logits:
            masks = masks > self.model.mask_threshold
        return masks, iou_pred, low_res_logits

    @torch.no_grad()
    def predict_low_res(
        self,
        point_coords: Float[Tensor, "N P 2"] | None,
        point_labels: Tensor | None,
        boxes: Float[Tensor, "N 4"] | None = None,
        mask_input: Float[Tensor, "N 1 h w"] | None = None,
        multimask_output: bool = True,
    ) -> tuple[Float[Tensor, "N M h w"], Float[Tensor, "N M"]]:
        """The decoder's answer before upscaling, for callers who drop most masks unseen."""
        if not self.is_image_set:
            raise RuntimeError(NO_IMAGE)
        check_prompt_shapes(point_coords, point_labels, boxes)
        points = None if point_coords is None else (point_coords, point_labels)
        return self.model.predict_low_res(
            self.features, points, boxes, mask_input, multimask_output
        )

    def upscale(self, low_res_logits: Float[Tensor, "N M h w"]) -> Float[Tensor, "N M H W"]:
        """Enlarges low-resolution logits to the size of the original image."""
        return self.model.postprocess_masks(low_res_logits, self.input_size, self.original_size)

    def get_image_embedding(self) -> Float[Tensor, "1 C h w"]:
        if self.features is None:
            raise RuntimeError(NO_IMAGE)
        return self.features

    def _points(
        self, coords: np.ndarray | Sequence | None, labels: np.ndarray | Sequence | None
    ) -> tuple[Tensor | None, Tensor | None]:
        if coords is None and labels is None:
            return None, None
        if coords is None or labels is None:
            raise ValueError("point_coords and point_labels must be given together.")
        coords, labels = numbers("point_coords", coords), numbers("point_labels", labels)
        check_points(coords, labels)
        coords = self.transform.apply_coords(coords, self.original_size)
        return (
            torch.as_tensor(coords, dtype=torch.float, device=self.device)[None],
            torch.as_tensor(labels, dtype=torch.int, device=self.device)[None],
        )

    def _box(self, box: np.ndarray | Sequence) -> Float[Tensor, "1 4"]:
        box = numbers("box", box)
        if box.shape not in ((4,), (1, 4)):
            raise ValueError(
                f"predict takes one XYXY box of shape (4,), not {box.shape}: "
                "use predict_torch for several."
            )
        box = self.transform.apply_boxes(box, self.original_size)
        return torch.as_tensor(box, dtype=torch.float, device=self.device)

    def _mask(self, mask_input: np.ndarray) -> Float[Tensor, "1 1 h w"]:
        mask_input = numbers("mask_input", mask_input)
        expected = (1, *self.model.mask_input_size)
        if mask_input.shape != expected:
            raise ValueError(
                f"mask_input must be low-resolution logits of shape {expected}, "
                f"not {mask_input.shape}: pass one mask of predict's third output."
            )
        return torch.as_tensor(mask_input, dtype=torch.float, device=self.device)[None]


def check_model(model: nn.Module) -> None:
    """Raises TypeError unless it is a model of this project, or an export of one."""
    if not isinstance(model, Sam):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise TypeError(
            f"SamPredictor and SamAutomaticMaskGenerator take a model of sam_train, not {kind}: "
            'save its weights, torch.save(model.state_dict(), "sam.pth"), and build ours from '
            'them, sam_model_registry["vit_b"](checkpoint="sam.pth") of sam_train.'
        )


def check_image(image: np.ndarray) -> None:
    """Raises ValueError for anything but an (H, W, 3) uint8 array."""
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f"An image must be a numpy array, not {type(image).__name__}: read a file with "
            "np.array(PIL.Image.open(path).convert('RGB'))."
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise ValueError(
            f"An image must be a uint8 array of shape (H, W, 3), not {image.dtype} of shape "
            f"{image.shape}: convert grey or RGBA images and 0-1 floats first."
        )


def numbers(name: str, values: np.ndarray | Sequence) -> np.ndarray:
    """The array of a prompt; raises ValueError unless it holds finite real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, without NaN and infinity.")
    return array


def check_points(coords: np.ndarray, labels: np.ndarray) -> None:
    """Raises ValueError unless there are (P, 2) points with (P,) labels that SAM knows."""
    if coords.ndim != 2 or coords.shape[1] != 2 or labels.shape != coords.shape[:1]:
        raise ValueError(
            f"point_coords must be (P, 2) with point_labels (P,), "
            f"not {coords.shape} with {labels.shape}."
        )
    unknown = set(labels.tolist()) - {-1, 0, 1, 2, 3}
    if unknown:
        raise ValueError(
            "point_labels must be 1 (foreground), 0 (background), 2 and 3 (corners of a box) "
            f"or -1 (padding), not {sorted(unknown)}."
        )


def check_prompt_shapes(coords: Tensor | None, labels: Tensor | None, boxes: Tensor | None) -> None:
    """Raises ValueError unless points and boxes are for the same N objects; looks at no values."""
    points, labelled, boxed = (
        None if t is None else tuple(t.shape) for t in (coords, labels, boxes)
    )
    wrong_points = points is not None and (len(points) != 3 or points[2] != 2)
    wrong_boxes = boxed is not None and (len(boxed) != 2 or boxed[1] != 4)
    other_count = points is not None and boxed is not None and points[0] != boxed[0]
    if wrong_points or wrong_boxes or other_count or (points or ())[:2] != (labelled or ()):
        raise ValueError(
            "the prompts of N objects are point_coords (N, P, 2) with point_labels (N, P) and "
            f"boxes (N, 4), not {points} with {labelled} and {boxed}."
        )
