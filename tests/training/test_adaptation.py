import pytest
import torch

from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from sam_train.training.adaptation import Adaptation


def trained(sam: Sam) -> set[str]:
    return {name.split(".")[0] for name, p in sam.named_parameters() if p.requires_grad}


def test_frozen_parts_are_not_trained(vit: Sam) -> None:
    Adaptation(frozen=["image_encoder", "prompt_encoder"]).apply(vit.train())
    assert trained(vit) == {"mask_decoder"}
    assert vit.mask_decoder.training and not vit.image_encoder.training


@pytest.mark.filterwarnings("ignore")  # peft's hints
def test_lora_trains_few_weights_and_leaves_a_model_with_the_old_names(vit: Sam) -> None:
    names = list(vit.state_dict())
    images, size = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8), torch.tensor([[64, 64]])
    before = vit.encode(images, size)
    adaptation = Adaptation(lora_rank=2)
    adaptation.apply(vit)
    added = [n for n, p in vit.image_encoder.named_parameters() if p.requires_grad]
    assert added and all(".lora_" in name and ".attn." in name for name in added)
    torch.testing.assert_close(vit.encode(images, size), before)  # it begins as it was

    for name, parameter in vit.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = vit.encode(images, size)
    merged = adaptation.merged(vit)
    assert list(merged.state_dict()) == names
    assert not torch.allclose(adapted, before)
    torch.testing.assert_close(merged.encode(images, size), adapted, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_adapted_is_named() -> None:
    with pytest.raises(ValueError, match="no attention to adapt: set it to 0"):
        Adaptation(lora_rank=4).apply(build_sam_tiny(image_size=64, dim=32))
    with pytest.raises(ValueError, match="lora_rank is -1; it must be 0 or more"):
        Adaptation(lora_rank=-1)
    with pytest.raises(ValueError, match="frozen has 'encoder'; parts are image_encoder"):
        Adaptation(frozen=["encoder"])
