"""What training asks of an image encoder beside its embedding: its layers and its positions."""

from jaxtyping import Float
from torch import Tensor, nn


class PlacesInside:
    """Of an encoder that knows places before its end: nothing is added to the embedding."""

    embedding_size: int
    neck: nn.Sequential

    @property
    def position_code(self) -> Float[Tensor, "1 C h w"]:
        """Zeros."""
        norm = self.neck[-1].weight
        return norm.new_zeros(1, len(norm), self.embedding_size, self.embedding_size)

    def start_from(self, code: Float[Tensor, "1 C h w"]) -> None:
        """Does nothing: there is no code to start from."""


class LayersOfBlocks(PlacesInside):
    """Of a ViT, to whose patches positions are added before the blocks."""

    blocks: nn.Module

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    def layer_of(self, name: str) -> int:
        """The layer of a parameter for layer-wise decay: 0 the embedding, then blocks, neck."""
        if name.startswith("blocks."):
            return int(name.split(".")[1]) + 1
        return 0 if name.startswith(("patch_embed", "pos_embed")) else self.num_layers + 1


class OneLayer:
    """Of convolutions, which do not know where they are: `pos_embed` is added at the end."""

    pos_embed: nn.Parameter

    @property
    def num_layers(self) -> int:
        return 0

    @property
    def position_code(self) -> Float[Tensor, "1 C h w"]:
        """What is added to the embedding of every image."""
        return self.pos_embed

    def start_from(self, code: Float[Tensor, "1 C h w"]) -> None:
        """Starts with this code of positions."""
        self.pos_embed.copy_(code)

    def layer_of(self, name: str) -> int:
        """All of it is one layer: trunks differ too much for one rule of layer-wise decay."""
        return 1
