"""torch.compile of the image encoder."""

from torch import nn


def compile_encoder(encoder: nn.Module, backend: str = "inductor") -> None:
    """Compiles it in place, a ViT block by block: equal blocks share a graph.

    ViT-H then has two graphs, of blocks with windows and without, and not one of 32 blocks.
    """
    blocks = getattr(encoder, "blocks", None)
    for part in [encoder] if blocks is None else blocks:
        part.compile(backend=backend)
