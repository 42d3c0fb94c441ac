"""A plain ViT for training on a small budget: each patch tells what is inside of it, too."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.modeling.image_encoder.plain_vit import ImageEncoderPlain
from sam_train.modeling.image_encoder.pyramid import AFFINITY_DIM
from sam_train.modeling.maps.cells import fold_twice, unfold_twice


class ImageEncoderDetailed(ImageEncoderPlain):
    """`ImageEncoderPlain` with the details and the affinity features of `ImageEncoderPyramid`.

    Both are linear in the token of a patch, which stands for 4 x 4 places of stride 4.
    """

    def __init__(self, img_size: int, embed_dim: int, *, out_chans: int, **options: Any) -> None:
        super().__init__(img_size, embed_dim, out_chans=out_chans, **options)
        self.affinity_dim = AFFINITY_DIM
        self.details = nn.Conv2d(embed_dim, 3 * out_chans, kernel_size=1)
        self.affinity = nn.Conv2d(embed_dim, 16 * AFFINITY_DIM, kernel_size=1)
        nn.init.zeros_(self.details.weight)  # so that a decoder can learn its geometry before
        nn.init.zeros_(self.details.bias)

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B embedding h w"]:
        """The embedding in the first C channels, details in 3 C, then affinity features."""
        patches = self.look(x)
        affinity = F.normalize(unfold_twice(self.affinity(patches)).float(), dim=1)
        parts = (self.neck(patches), self.details(patches), fold_twice(affinity))
        return torch.cat(parts, dim=1)
