"""Which weights a fine-tuning changes: all, all but some parts, or low-rank additions."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam_train.modeling.sam import Sam

PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")
ATTENTION = r"blocks\.\d+\.attn\.(qkv|proj)"  # the modules that LoRA adapts


@dataclass(frozen=True)
class Adaptation:
    """Holds parts of a pretrained model fixed; `lora_rank` adapts the fixed encoder's attention.

    LoRA (Hu et al. 2022) through peft: matrices of that rank beside the `qkv` and `proj` of
    every block, times `lora_alpha` / `lora_rank`, merged into the weights at the end.
    """

    frozen: Sequence[str] = ()
    lora_rank: int = 0
    lora_alpha: int = 16

    def __post_init__(self) -> None:
        for part in self.frozen:
            if part not in PARTS:
                raise ValueError(f"adaptation.frozen has {part!r}; parts are {', '.join(PARTS)}")
        if self.lora_rank < 0:
            raise ValueError(f"adaptation.lora_rank is {self.lora_rank}; it must be 0 or more")

    def apply(self, sam: Sam) -> None:
        """Changes a model in training mode, in place."""
        if self.lora_rank and not any(
            name.endswith(".qkv") for name, _ in sam.image_encoder.named_modules()
        ):
            raise ValueError(
                f"adaptation.lora_rank is {self.lora_rank}, but the image encoder has no "
                f"attention to adapt: set it to 0, or choose model=vit_b, vit_l or vit_h"
            )
        for part in self.frozen:
            getattr(sam, part).requires_grad_(False).eval()  # batch norms stay as well
        if self.lora_rank:
            from peft import LoraConfig, inject_adapter_in_model

            config = LoraConfig(
                r=self.lora_rank, lora_alpha=self.lora_alpha, target_modules=ATTENTION
            )
            inject_adapter_in_model(config, sam.image_encoder)

    def merged(self, sam: Sam) -> Sam:
        """The model with the additions in its weights, which have their old names again."""
        for name, module in list(sam.image_encoder.named_modules()):
            if hasattr(module, "get_base_layer"):
                module.merge()
                parent, _, child = name.rpartition(".")
                setattr(sam.image_encoder.get_submodule(parent), child, module.get_base_layer())
        return sam
