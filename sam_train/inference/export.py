"""A model as two ONNX graphs: one runs once for an image, the other for every prompt."""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.inference.onnx_model import (
    DECODER_INPUTS,
    DESCRIPTION,
    ENCODER_INPUTS,
    open_session,
)
from sam_train.modeling.sam import Sam

# That torch writes and the oldest ONNX Runtime of pyproject.toml reads; from 20 on, GELU is one.
OPSETS = range(20, 24)
ENCODER_OUTPUTS, DECODER_OUTPUTS = ("image_embeddings",), ("low_res_logits", "iou_pred")
FOLDED_NUMBERS = 2**18  # weights that the network reorders become constants, also for 8 bits
QUANTIZED = ("MatMul", "Gemm")
EMBEDDED_BYTES = 1_800_000_000  # weights of larger graphs lie in a file beside them (protobuf)

Example = tuple[Tensor, tuple[Tensor, ...]]  # images; inputs of the decoder


class EncoderGraph(nn.Module):
    """RGB images from 0 to 255, resized to the input frame, to their embeddings."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        return self.sam.image_encoder(self.sam.preprocess(images))


class DecoderGraph(nn.Module):
    """Prompts in the input frame to all candidates; prompt n belongs to image `image_index[n]`."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(
        self,
        image_embeddings: Float[Tensor, "B C h w"],
        image_index: Int[Tensor, " N"],
        point_coords: Float[Tensor, "N P 2"],
        point_labels: Int[Tensor, "N P"],
        mask_inputs: Float[Tensor, "N 1 H W"],
        has_mask: Bool[Tensor, " N"],
    ) -> tuple[Float[Tensor, "N 4 H W"], Float[Tensor, "N 4"]]:
        # A plain holder with the names of `Prompts`, whose checks in tests torch cannot trace.
        prompts: Any = SimpleNamespace(
            point_coords=point_coords,
            point_labels=point_labels,
            mask_inputs=mask_inputs,
            has_mask=has_mask,
        )
        return self.sam.decode(image_embeddings, prompts, image_index)


def export_model(
    sam: Sam,
    folder: Path,
    *,
    opset: int = OPSETS.start,
    int8: bool = True,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes encoder.onnx, decoder.onnx, with `int8` both quantised, and what describes them.

    A convolutional encoder has no products to quantise, and no file with int8 in its name.

    Numbers of images, of prompts and of points, and the size of images up to the input frame,
    are open in the graphs. `origin` says where the weights are from. Returns the description,
    in which `difference` is how far the graphs' results lie from the model's.
    """
    check_opset(opset)
    check_finite(sam)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: name another folder for the export.")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        sam = sam.cpu().eval()
        example = example_inputs(sam)
        write_encoder(sam, partial / "encoder.onnx", example, opset=opset)
        write_decoder(sam, partial / "decoder.onnx", example, opset=opset)
        for name in ("encoder", "decoder") if int8 else ():
            quantize(partial / f"{name}.onnx", partial / f"{name}.int8.onnx")
        description = describe(sam, partial, example, opset=opset) | {"origin": dict(origin or {})}
        with durable_file(partial / DESCRIPTION) as file:
            file.write(json.dumps(description, indent=2).encode() + b"\n")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return description


def write_encoder(sam: Sam, path: Path, example: Example, *, opset: int = OPSETS.start) -> None:
    """The graph from images to embeddings; the number of images and their size are open."""
    write_graph(
        EncoderGraph(sam),
        example[:1],
        path,
        names=(ENCODER_INPUTS, ENCODER_OUTPUTS),
        open_axes=({0, 2, 3},),
        opset=opset,
    )


def write_decoder(sam: Sam, path: Path, example: Example, *, opset: int = OPSETS.start) -> None:
    """The graph from embeddings and prompts to masks; how many of each there are is open."""
    write_graph(
        DecoderGraph(sam),
        example[1],
        path,
        names=(DECODER_INPUTS, DECODER_OUTPUTS),
        open_axes=({0}, {0}, {0, 1}, {0, 1}, {0}, {0}),
        opset=opset,
    )


def check_opset(opset: int) -> None:
    """Raises ValueError for a version of ONNX's operators that cannot be written or run here."""
    import onnx

    last = min(OPSETS.stop - 1, onnx.defs.onnx_opset_version())
    if not OPSETS.start <= opset <= last:
        raise ValueError(
            f"ONNX opset {opset} cannot be written and run here: choose {OPSETS.start} to {last}."
        )


def check_finite(sam: Sam) -> None:
    """Raises ValueError for weights that a training has spoilt."""
    for name, tensor in sam.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"the weights {name} are not finite: no mask comes from such a model; export "
                "another checkpoint of its run."
            )


def example_inputs(sam: Sam) -> Example:
    """Two images and three prompts: what is open must not be 1, which would be taken as fixed."""
    side, low_res = sam.image_size, sam.mask_input_size
    images = 255 * torch.rand(2, 3, side - side // 8, side)
    with torch.no_grad():
        embeddings = sam.image_encoder(sam.preprocess(images))
    labels = torch.tensor([[1, -1], [2, 3], [0, 1]])
    index, has_mask = torch.tensor([0, 1, 1]), torch.tensor([True, False, True])
    masks = torch.randn(3, 1, *low_res)
    return images, (embeddings, index, side * torch.rand(3, 2, 2), labels, masks, has_mask)


def write_graph(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    *,
    names: tuple[Sequence[str], Sequence[str]],
    open_axes: tuple[set[int], ...],
    opset: int,
) -> None:
    """Traces the module with sizes left open and writes the graph.

    The example's sizes are not kept: `AUTO` leaves an axis open unless the code depends on it,
    which the check of the written graph at other sizes would tell.
    """
    from onnxscript.optimizer import fold_constants  # only who exports has it

    auto = torch.export.Dim.AUTO
    shapes = tuple({axis: auto for axis in axes} for axes in open_axes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own insides
        program = torch.export.export(module, inputs, dynamic_shapes=shapes, strict=True)
        weights = sum(tensor.nbytes for tensor in program.state_dict.values())
        written = torch.onnx.export(
            program,
            (),
            input_names=list(names[0]),
            output_names=list(names[1]),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
        fold_constants(written.model, input_size_limit=FOLDED_NUMBERS)
        keep_norms_apart(written.model.graph)
        written.save(str(path), external_data=weights > EMBEDDED_BYTES)


def keep_norms_apart(graph: Any) -> None:
    """Writes sums that are normalised as `Sum`, which ONNX Runtime does not join with the norm.

    What it makes of `Add` and a layer norm, SkipLayerNormalization, takes nine times as long as
    the two.
    """
    for node in graph:
        summed = node.inputs[0].producer() if node.op_type == "LayerNormalization" else None
        if summed is not None and summed.op_type == "Add":
            summed.op_type = "Sum"


def quantize(source: Path, target: Path) -> None:
    """Writes a graph with the weights of its matrix products in 8 bits.

    Activations are quantised as they come, by each product. Convolutions stay as they are: on a
    CPU theirs is slower in 8 bits. Where there are no products nothing is written.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(source, load_external_data=False).graph
    if not any(node.op_type in QUANTIZED for node in graph.node):
        return
    logging.disable(logging.WARNING)  # it recommends what torch's exporter has done already
    try:
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTIZED),
            use_external_data_format=source.with_name(f"{source.name}.data").exists(),
        )
    finally:
        logging.disable(logging.NOTSET)


def describe(sam: Sam, folder: Path, example: Example, *, opset: int) -> dict[str, Any]:
    """What a runner and a reader of the export must know."""
    name, config = sam.recipe
    return {
        "model": name,
        "config": config,
        "image_size": sam.image_size,
        "mask_input_size": list(sam.mask_input_size),
        "mask_threshold": sam.mask_threshold,
        "keeps_aspect": sam.keeps_aspect,
        "parameters": sum(parameter.numel() for parameter in sam.parameters()),
        "opset": opset,
        "difference": {
            path.name: differences(sam, path, example) for path in sorted(folder.glob("*.onnx"))
        },
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in sorted(folder.iterdir())
        },
    }


@torch.no_grad()
def differences(sam: Sam, path: Path, example: Example) -> dict[str, float]:
    """The largest difference of each result from the model's, on other sizes than the example's."""
    session = open_session(path)
    images, prompts = example
    compute: Callable[..., Any]
    if path.name.startswith("encoder"):
        compute, names, results = EncoderGraph(sam), ENCODER_INPUTS, ENCODER_OUTPUTS
        inputs = (images[:1, :, : sam.image_size // 2].contiguous(),)
    else:
        compute, names, results = DecoderGraph(sam), DECODER_INPUTS, DECODER_OUTPUTS
        embeddings, _, *others = prompts
        inputs = (embeddings[:1], torch.tensor([0]), *(part[1:2] for part in others))
    expected = compute(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    feeds = {name: part.numpy() for name, part in zip(names, inputs, strict=True)}
    return {
        name: float(np.abs(found - wanted.numpy()).max())
        for name, found, wanted in zip(results, session.run(None, feeds), expected, strict=True)
    }
