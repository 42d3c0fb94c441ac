"""An exported model in the place of the network: predictor, evaluation and server use it alike."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from sam_train.data.store.durable import file_sha256
from sam_train.interaction.masks import inside_image
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.efficient_sam import EfficientSam
from sam_train.modeling.prompt_encoder import list_points
from sam_train.modeling.sam import PIXEL_MEAN, Sam

DESCRIPTION = "export.json"  # written last: where it is, the graphs are whole
ENCODER_INPUTS = ("images",)
DECODER_INPUTS = (
    "image_embeddings",
    "image_index",
    "point_coords",
    "point_labels",
    "mask_inputs",
    "has_mask",
)

CANDIDATES = 4  # masks of an object that the decoder gives


class OnnxEncoder:
    """The graph of the image encoder as a function of images of the input frame."""

    def __init__(self, session: Any, img_size: int) -> None:
        self.session = session
        self.img_size = img_size

    def __call__(self, images: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C h w"]:
        (embeddings,) = self.session.run(None, {ENCODER_INPUTS[0]: images.float().numpy()})
        return torch.from_numpy(embeddings)


class OnnxSam(Sam):
    """A model whose parts are the two graphs of an export, which run on a CPU, without gradients.

    It has no weights of its own, and is only for inference.
    """

    def __init__(self, encoder: Any, decoder: Any, description: dict[str, Any]) -> None:
        nn.Module.__init__(self)  # not Sam's: there are no modules to hold
        self.image_encoder = OnnxEncoder(encoder, description["image_size"])
        self.decoder = decoder
        self.mask_threshold = description["mask_threshold"]
        self.keeps_aspect = description["keeps_aspect"]
        self._mask_input_size = tuple(description["mask_input_size"])
        mean = torch.tensor(PIXEL_MEAN).view(-1, 1, 1)
        self.register_buffer("pixel_mean", mean, persistent=False)

    @property
    def mask_input_size(self) -> tuple[int, int]:
        return self._mask_input_size

    def encode(
        self, images: UInt8[Tensor, "B 3 S S"], input_sizes: Int[Tensor, "B 2"]
    ) -> Float[Tensor, "B C h w"]:
        inside = inside_image(input_sizes, images.shape[-2:])[:, None]
        return self.image_encoder(torch.where(inside, images, self.pixel_mean))

    def decode(
        self,
        image_embeddings: Float[Tensor, "B C h w"],
        prompts: Prompts,
        image_index: Int[Tensor, " N"],
    ) -> tuple[Float[Tensor, "N 4 H W"], Float[Tensor, "N 4"]]:
        count = len(prompts)
        if count == 0:  # of which the runtime dies
            return torch.zeros(0, CANDIDATES, *self.mask_input_size), torch.zeros(0, CANDIDATES)
        masks, has_mask = prompts.mask_inputs, prompts.has_mask
        if masks is None or has_mask is None:
            masks = torch.zeros(count, 1, *self.mask_input_size)
            has_mask = torch.zeros(count, dtype=torch.bool)
        inputs = (
            image_embeddings,
            image_index,
            prompts.point_coords.float(),
            prompts.point_labels.long(),
            masks.float(),
            has_mask,
        )
        feeds = {
            name: part.contiguous().numpy()
            for name, part in zip(DECODER_INPUTS, inputs, strict=True)
        }
        low_res_logits, iou_pred = self.decoder.run(None, feeds)
        return torch.from_numpy(low_res_logits), torch.from_numpy(iou_pred)

    def predict_low_res(
        self,
        image_embeddings: Float[Tensor, "1 C h w"],
        points: tuple[Tensor, Tensor] | None,
        boxes: Float[Tensor, "N 4"] | None,
        masks: Float[Tensor, "N 1 H W"] | None,
        multimask_output: bool,
    ) -> tuple[Float[Tensor, "N M H W"], Float[Tensor, "N M"]]:
        prompts = Prompts(*list_points(points, boxes, masks))
        if masks is not None:
            prompts = prompts.with_masks(masks)
        index = torch.zeros(len(prompts), dtype=torch.int64)
        low_res_logits, iou_pred = self.decode(image_embeddings, prompts, index)
        tokens = slice(1, None) if multimask_output else slice(0, 1)
        return low_res_logits[:, tokens], iou_pred[:, tokens]

    def preprocess(self, x: Float[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 3 S S"]:
        """Pads with the mean colour at the bottom and the right; the graph normalises."""
        height, width = x.shape[-2:]
        padded = self.pixel_mean.expand(*x.shape[:-2], self.image_size, self.image_size).clone()
        padded[..., :height, :width] = x
        return padded

    def postprocess_masks(
        self,
        masks: Float[Tensor, "N M h w"],
        input_size: tuple[int, ...],
        original_size: tuple[int, ...],
    ) -> Float[Tensor, "N M H W"]:
        enlarge = Sam.postprocess_masks if self.keeps_aspect else EfficientSam.postprocess_masks
        return enlarge(self, masks, input_size, original_size)


def load_onnx(decoder: str | Path, *, threads: int | None = None) -> OnnxSam:
    """The export of which `decoder` is decoder.onnx, or decoder.int8.onnx for the quantised one.

    An encoder that was not quantised, as a convolutional one, serves both. Raises ValueError if
    the files beside it do not belong to it, as those of another export.
    """
    path = Path(decoder)
    encoder = path.with_name(path.name.replace("decoder", "encoder", 1))
    if not encoder.is_file():
        encoder = path.with_name(encoder.name.replace(".int8", "", 1))
    threads = torch.get_num_threads() if threads is None else threads
    sessions = [open_session(file, threads=threads) for file in (encoder, path)]
    for session, names in zip(sessions, (ENCODER_INPUTS, DECODER_INPUTS), strict=True):
        found = {node.name for node in session.get_inputs()}
        if found != set(names):
            raise ValueError(
                f"{path} is not the decoder of one of our exports: the graphs take "
                f"{', '.join(sorted(found))}, not {', '.join(sorted(names))}; export with "
                "python -m tools.export, and name its decoder.onnx."
            )
    description = read_description(path.with_name(DESCRIPTION))
    for file in (encoder, path):
        if file_sha256(file) != description["files"].get(file.name, {}).get("sha256"):
            raise ValueError(
                f"{file} is not the file that {DESCRIPTION} beside it describes: one of the two "
                "was replaced or damaged, copy the folder of the export again."
            )
    return OnnxSam(sessions[0], sessions[1], description)


def read_description(path: Path) -> dict[str, Any]:
    """What an export says of itself."""
    keys = ("image_size", "mask_input_size", "mask_threshold", "keeps_aspect", "files")
    try:
        description = json.loads(path.read_text())
        return {key: description[key] for key in keys}
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no {path}: copy the whole folder of the export, not its graphs alone."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe an export ({error!r}): it must hold {', '.join(keys)}."
        ) from error


def open_session(path: Path, *, threads: int = 1) -> Any:
    """A session of ONNX Runtime on a CPU; ValueError if it cannot run the file."""
    import onnxruntime

    if not path.is_file():
        raise FileNotFoundError(f"There is no ONNX file {path}: check the path of the export.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises types of its own, by the kind of failure
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is no graph that ONNX Runtime {onnxruntime.__version__} can run ({reason}): "
            "export it again, with an opset that this version has."
        ) from error
