"""One click on an image: the exported decoder in ONNX Runtime, the peer is PyTorch itself.

The models are `tiny` at 256 pixels and the decoder of ViT-B at 1024, with random weights; the
image is encoded before. Equal means that logits and predicted IoU differ by less than 1e-3.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sam_train.inference.export import write_decoder
from sam_train.inference.onnx_model import DECODER_INPUTS, open_session
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.build import build_sam_tiny, build_sam_vit_b
from sam_train.modeling.sam import Sam
from tools.benchmarks.comparison import Comparison


def compare() -> list[Comparison]:
    """A click without and with the mask of the click before."""
    torch.manual_seed(0)
    tiny, vit_b = build_sam_tiny(), build_sam_vit_b()
    vit_b.image_encoder = Encoded(vit_b.image_size)  # its blocks take no part
    return [
        comparison(f"onnx_decoder, {name}", sam.eval().requires_grad_(False))
        for name, sam in (("tiny", tiny), ("vit_b", vit_b))
    ]


class Encoded(nn.Module):
    """Stands for an encoder: one embedding for any image."""

    def __init__(self, img_size: int) -> None:
        super().__init__()
        self.img_size = img_size
        self.register_buffer("embedding", torch.randn(1, 256, img_size // 16, img_size // 16))

    def forward(self, images: Tensor) -> Tensor:
        return self.embedding.expand(len(images), -1, -1, -1)


def comparison(name: str, sam: Sam) -> Comparison:
    """Times one click; the session has one thread, as PyTorch has here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decoder.onnx"
        write_decoder(sam, path)
        session = open_session(path, threads=1)
    embeddings = sam.image_encoder(torch.zeros(1, 3, sam.image_size, sam.image_size))
    coords = sam.image_size * torch.tensor([[[0.4, 0.6], [0.0, 0.0]]])
    masks = torch.zeros(1, 1, *sam.mask_input_size)
    index, labels = torch.tensor([0]), torch.tensor([[1, -1]])
    inputs = (embeddings, index, coords, labels, masks, torch.tensor([False]))
    feeds = {k: part.contiguous().numpy() for k, part in zip(DECODER_INPUTS, inputs, strict=True)}

    @torch.inference_mode()
    def eager() -> tuple[Tensor, Tensor]:
        return sam.decode(embeddings, Prompts(coords, labels), index)

    run = partial(session.run, None, feeds)
    return Comparison(name, "PyTorch", run, eager, equal=are_near(run(), eager()), n=1, target=2.0)


def are_near(found: list[Any], expected: tuple[Tensor, ...]) -> bool:
    return all(
        np.abs(one - other.numpy()).max() < 1e-3 for one, other in zip(found, expected, strict=True)
    )
