"""One click on an image: the exported decoder in ONNX Runtime, the peer is PyTorch.

The models are `tiny` at 256 pixels and the decoder of ViT-B at 1024, with random weights; the
image is encoded before. PyTorch runs our own decoder, for ViT-B also that of segment-anything,
which takes twice as long. In the rows with a mask the click has one of a click before. Equal means
that logits and predicted IoU differ by less than 1e-3.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import segment_anything
import torch
from torch import Tensor, nn

from sam_train.inference.export import example_inputs, write_decoder
from sam_train.inference.onnx_model import DECODER_INPUTS, open_session
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.build import build_sam_tiny, build_sam_vit_b
from sam_train.modeling.sam import Sam
from sam_train.modeling.weights.loading import official_state_dict
from tools.benchmarks.comparison import Comparison

Answer = tuple[Tensor, ...]


def compare() -> list[Comparison]:
    """A click without and with the mask of the click before."""
    torch.manual_seed(0)
    tiny, vit_b = build_sam_tiny(), build_sam_vit_b()
    peer = segment_anything.sam_model_registry["vit_b"]()
    peer.load_state_dict(official_state_dict(vit_b))
    vit_b.image_encoder = Encoded(vit_b.image_size)  # its blocks take no part
    return [*comparisons("tiny", tiny), *comparisons("vit_b", vit_b, peer)]


class Encoded(nn.Module):
    """Stands for an encoder: one embedding for any image."""

    def __init__(self, img_size: int) -> None:
        super().__init__()
        self.img_size = img_size
        self.register_buffer("embedding", torch.randn(1, 256, img_size // 16, img_size // 16))

    def forward(self, images: Tensor) -> Tensor:
        return self.embedding.expand(len(images), -1, -1, -1)


def comparisons(name: str, sam: Sam, peer: nn.Module | None = None) -> list[Comparison]:
    """Times one click; the session has one thread, as PyTorch has here."""
    sam.eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decoder.onnx"
        write_decoder(sam, path, example_inputs(sam))
        session = open_session(path, threads=1)
    embeddings = sam.image_encoder(torch.zeros(1, 3, sam.image_size, sam.image_size))
    coords = sam.image_size * torch.tensor([[[0.4, 0.6], [0.0, 0.0]]])
    click = Prompts(coords, torch.tensor([[1, -1]]))
    rows = []
    for suffix, prompts in (
        ("", click),
        (", mask", click.with_masks(torch.randn(1, 1, *sam.mask_input_size))),
    ):
        run = partial(session.run, None, feeds(embeddings, prompts, sam.mask_input_size))
        peers: list[tuple[str, Callable[[], Answer], float | None]] = [
            ("PyTorch, ours", partial(eager, sam, embeddings, prompts), 2.0)
        ]
        if peer is not None:
            answer = partial(official, peer, embeddings, prompts)
            peers.append(("PyTorch, segment-anything", answer, None))
        rows += [
            Comparison(
                f"onnx_decoder, {name}{suffix}", label, run, answer,
                equal=are_near(run(), answer()), n=1, target=target,
            )
            for label, answer, target in peers
        ]  # fmt: skip
    return rows


def feeds(embeddings: Tensor, prompts: Prompts, mask_size: tuple[int, int]) -> dict[str, Any]:
    """The decoder's inputs by name, for prompts of one image."""
    masks, has_mask = prompts.mask_inputs, prompts.has_mask
    if masks is None or has_mask is None:
        masks, has_mask = torch.zeros(1, 1, *mask_size), torch.tensor([False])
    parts = (prompts.point_coords, prompts.point_labels, masks, has_mask)
    inputs = (embeddings, torch.tensor([0]), *parts)
    return {k: part.contiguous().numpy() for k, part in zip(DECODER_INPUTS, inputs, strict=True)}


@torch.inference_mode()
def eager(sam: Sam, embeddings: Tensor, prompts: Prompts) -> Answer:
    return sam.decode(embeddings, prompts, torch.tensor([0]))


@torch.inference_mode()
def official(peer: nn.Module, embeddings: Tensor, prompts: Prompts) -> Answer:
    """All four candidates of the package, which adds the padding point itself."""
    sparse, dense = peer.prompt_encoder(
        points=(prompts.point_coords[:, :1], prompts.point_labels[:, :1]),
        boxes=None,
        masks=prompts.mask_inputs,
    )
    return peer.mask_decoder.predict_masks(
        image_embeddings=embeddings,
        image_pe=peer.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )


def are_near(found: list[Any], expected: Answer) -> bool:
    return all(
        np.abs(one - other.numpy()).max() < 1e-3 for one, other in zip(found, expected, strict=True)
    )
