"""SAM: an image encoder, a prompt encoder and a mask decoder (Segment Anything, section 3)."""

from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from sam_train.interaction.masks import inside_image
from sam_train.interaction.prompts import Prompts
from sam_train.modeling.maps.prompt_maps import NUM_MAPS, OUTSIDE_BOX
from sam_train.modeling.prompt_encoder import of_prompts

PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of ImageNet, RGB
# Of a model that is trained from nothing: the gain of the image's content beside its positions,
# the size of token embeddings, and the logit that a box adds outside of it.
START_CONTENT, START_TOKENS, OUTSIDE_LOGIT = 0.3, 0.1, -8.0


class Sam(nn.Module):
    """Segments what the prompts point at; input images are RGB from 0 to 255, normalised inside."""

    mask_threshold: float = 0.0
    image_format: str = "RGB"
    keeps_aspect: bool = True  # images are padded to the square input frame, not stretched
    recipe: tuple[str, dict[str, Any]]  # registry name and options, set by the builder

    def __init__(
        self,
        image_encoder: nn.Module,
        prompt_encoder: nn.Module,
        mask_decoder: nn.Module,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        for name, values in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    @property
    def image_size(self) -> int:
        """The side of the square input frame."""
        return self.image_encoder.img_size

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """The (H, W) of mask prompts and of low-resolution logits."""
        return self.prompt_encoder.mask_input_size

    @torch.no_grad()
    def start_from_positions(self) -> None:
        """Initialises a model that is trained from nothing, so that distance is what it knows.

        The image embedding starts as its positional code, if there is one, with a little content,
        tokens start small, attention as a kernel of distance
        (`TwoWayTransformer.start_as_distance_kernel`). Masks end where a box does, in a model that
        draws its prompts.
        """
        self.image_encoder.start_from(self.prompt_encoder.get_dense_pe())
        self.image_encoder.neck[-1].weight.fill_(START_CONTENT)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                module.weight.mul_(START_TOKENS)
        self.mask_decoder.transformer.start_as_distance_kernel()
        if self.prompt_encoder.prompt_maps is not None:
            for hypernetwork in self.mask_decoder.output_hypernetworks_mlps:
                hypernetwork.layers[-1].bias[OUTSIDE_BOX - NUM_MAPS] = OUTSIDE_LOGIT

    def encode(
        self, images: UInt8[Tensor, "B 3 S S"], input_sizes: Int[Tensor, "B 2"]
    ) -> Float[Tensor, "B C h w"]:
        """Embeds images of the padded input frame; the padding gets the mean colour, as in SAM.

        An encoder may give details in channels beyond the decoder's width (`MaskDecoder`).
        """
        x = (images - self.pixel_mean) / self.pixel_std
        return self.image_encoder(x * inside_image(input_sizes, images.shape[-2:])[:, None])

    def decode(
        self,
        image_embeddings: Float[Tensor, "B C h w"],
        prompts: Prompts,
        image_index: Int[Tensor, " N"],
    ) -> tuple[Float[Tensor, "N 4 4*h 4*w"], Float[Tensor, "N 4"]]:
        """All candidates of every prompt; prompt n belongs to image `image_index[n]`."""
        encoder = self.prompt_encoder
        sparse, dense = encoder.embed_prompts(prompts, image_embeddings, image_index)
        channels = 4 * encoder.embed_dim  # the rest are the affinity features
        embeddings = of_prompts(image_embeddings[:, :channels], image_index)
        return self.mask_decoder.predict_masks(embeddings, encoder.get_dense_pe(), sparse, dense)

    def predict_low_res(
        self,
        image_embeddings: Float[Tensor, "1 embedding h w"],
        points: tuple[Float[Tensor, "N P 2"], Int[Tensor, "N P"]] | None,
        boxes: Float[Tensor, "N 4"] | None,
        masks: Float[Tensor, "N 1 H W"] | None,
        multimask_output: bool,
    ) -> tuple[Float[Tensor, "N M H W"], Float[Tensor, "N M"]]:
        """Low-resolution logits and predicted IoU of N objects of one image, in its input frame."""
        sparse, dense = self.prompt_encoder(
            points=points, boxes=boxes, masks=masks, image_embeddings=image_embeddings
        )
        return self.mask_decoder(
            image_embeddings=image_embeddings,
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )

    def preprocess(self, x: Float[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 3 S S"]:
        """Normalises the colours, then pads with zeros at the bottom and the right."""
        x = (x - self.pixel_mean) / self.pixel_std
        height, width = x.shape[-2:]
        return F.pad(x, (0, self.image_size - width, 0, self.image_size - height))

    def postprocess_masks(
        self,
        masks: Float[Tensor, "N M h w"],
        input_size: tuple[int, ...],
        original_size: tuple[int, ...],
    ) -> Float[Tensor, "N M H W"]:
        """Enlarges low-resolution logits to the original image: to the input frame, cut, resize."""
        side = self.image_size
        masks = F.interpolate(masks, (side, side), mode="bilinear", align_corners=False)
        masks = masks[..., : input_size[0], : input_size[1]]
        return F.interpolate(masks, tuple(original_size), mode="bilinear", align_corners=False)

    @torch.no_grad()
    def forward(
        self, batched_input: list[dict[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """Predicts masks for images with their prompts, as the segment_anything package does.

        Each input holds `image` (3, H, W) in the input frame, `original_size`, and optionally
        `point_coords`, `point_labels`, `boxes`, `mask_inputs`; each output holds boolean
        `masks` at the original size, `iou_predictions` and `low_res_logits`.
        """
        images = torch.stack([self.preprocess(sample["image"]) for sample in batched_input])
        image_embeddings = self.image_encoder(images)
        return [
            self._predict(sample, embedding[None], multimask_output)
            for sample, embedding in zip(batched_input, image_embeddings, strict=True)
        ]

    def _predict(
        self, sample: dict[str, Any], image_embedding: Tensor, multimask_output: bool
    ) -> dict[str, Tensor]:
        points = (
            (sample["point_coords"], sample["point_labels"]) if "point_coords" in sample else None
        )
        low_res_logits, iou_pred = self.predict_low_res(
            image_embedding,
            points,
            sample.get("boxes"),
            sample.get("mask_inputs"),
            multimask_output,
        )
        input_size = tuple(sample["image"].shape[-2:])
        logits = self.postprocess_masks(low_res_logits, input_size, sample["original_size"])
        return {
            "masks": logits > self.mask_threshold,
            "iou_predictions": iou_pred,
            "low_res_logits": low_res_logits,
        }
