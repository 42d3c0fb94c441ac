"""MobileSAM's image encoder: TinyViT-5M without its last stride, before SAM's neck."""

from itertools import accumulate

from jaxtyping import Float
from timm.models.tiny_vit import Attention, TinyVit
from torch import Tensor, nn

from sam_train.modeling.image_encoder.contract import PlacesInside
from sam_train.modeling.layers import sam_neck

NUM_CLASSES = 1000  # of the classifier that MobileSAM's files carry along


class ImageEncoderTinyViT(PlacesInside, TinyVit):
    """timm's TinyViT whose last stage keeps the grid of stride 16 (MobileSAM, Zhang et al. 2023).

    The classifier of its pre-training is never called; it is here, without gradients, because
    MobileSAM's files hold it.
    """

    head: nn.Linear

    def __init__(
        self,
        img_size: int,
        *,
        embed_dims: tuple[int, ...] = (64, 128, 160, 320),
        depths: tuple[int, ...] = (2, 2, 6, 2),
        num_heads: tuple[int, ...] = (2, 4, 5, 10),
        out_chans: int = 256,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(
            embed_dims=embed_dims,
            depths=depths,
            num_heads=num_heads,
            window_sizes=(7, 7, 14, 7),
            drop_path_rate=drop_path_rate,
            num_classes=0,
            global_pool="",
        )
        self.stages[3].downsample.conv2.conv.stride = (1, 1)
        del self.head
        self.norm_head = nn.LayerNorm(embed_dims[-1]).requires_grad_(False)
        self.head = nn.Linear(embed_dims[-1], NUM_CLASSES).requires_grad_(False)
        self.neck = sam_neck(embed_dims[-1], out_chans)
        self.img_size = img_size
        self.embedding_size = img_size // 16

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C h w"]:
        # timm gathers an attention's biases once in evaluation, and would go on with them after
        # the weights have changed.
        for module in self.modules():
            if isinstance(module, Attention):
                module.attention_bias_cache = {}
        return self.neck(self.forward_features(x))

    @property
    def num_layers(self) -> int:
        return sum(self.depths)

    def layer_of(self, name: str) -> int:
        """The layer of a parameter for layer-wise decay: 0 the stem, then all blocks, the neck.

        What makes a grid coarser belongs to the block before it, as in MobileSAM's own decay.
        """
        part, *rest = name.split(".")
        if part != "stages":
            return 0 if part == "patch_embed" else self.num_layers + 1
        before = list(accumulate(self.depths, initial=0))[int(rest[0])]
        return before + (int(rest[2]) + 1 if rest[1] == "blocks" else 0)
