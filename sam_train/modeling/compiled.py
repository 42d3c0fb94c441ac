"""torch.compile of the image encoder."""

from torch import nn

# Graphs of a block before torch gives up, with a warning alone, and runs it as it is: three kinds
# of blocks, with and without gradients, for one number of images and for any. Torch's own is 8.
GRAPHS = 32


def compile_blocks(encoder: nn.Module, backend: str = "inductor") -> None:
    """Compiles a ViT's blocks in place, or all of an encoder that has none.

    Equal blocks share a graph: ViT-H has three, not one of 32 blocks. They are of the first block,
    whose input lies otherwise in memory, of those with windows and of those without.

    ValueError for an encoder of ONNX.
    """
    if not isinstance(encoder, nn.Module):
        raise ValueError("an exported model cannot be compiled: leave `compiled` out")
    from torch._dynamo import config  # seconds, for those who compile alone

    config.recompile_limit = max(config.recompile_limit, GRAPHS)
    blocks = getattr(encoder, "blocks", None)
    for part in [encoder] if blocks is None else blocks:
        part.compile(backend=backend)
