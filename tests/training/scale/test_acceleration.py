import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sam_train.interaction.prompts import Prompts, point_prompts
from sam_train.modeling.build import assemble, build_sam_tiny
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.training.scale.acceleration import Acceleration, bucket, bucketed
from sam_train.training.scale.passes import saved_bytes


@pytest.fixture
def sam() -> Sam:
    encoder = ImageEncoderViT(64, 32, depth=4, num_heads=2, global_attn_indexes=(1,), out_chans=16)
    return assemble(encoder, dim=16, depth=1, num_heads=2, mlp_dim=32, dropout=0.0)


def encode(sam: Sam) -> Callable[[], Tensor]:
    images = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    return lambda: sam.encode(images, torch.tensor([[64, 64]]))


def test_a_checkpointed_encoder_keeps_less_and_has_the_same_gradients(sam: Sam) -> None:
    kept, gradients = [], []
    for checkpoint_encoder in (False, True):
        Acceleration(checkpoint_encoder=checkpoint_encoder).apply(sam)
        kept.append(saved_bytes(encode(sam)))
        sam.zero_grad()
        encode(sam)().square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in sam.image_encoder.named_parameters()})
    assert kept[1] < kept[0] / 3
    torch.testing.assert_close(gradients[1], gradients[0])


def test_an_encoder_that_cannot_be_checkpointed_is_named() -> None:
    with pytest.raises(ValueError, match="ImageEncoderPyramid cannot recompute"):
        Acceleration(checkpoint_encoder=True).apply(build_sam_tiny(image_size=64, dim=32))


def test_numbers_of_objects_are_filled_to_powers_of_two() -> None:
    assert [bucket(count) for count in (1, 2, 3, 8, 9, 64)] == [1, 2, 4, 8, 16, 64]


def test_what_fills_a_bucket_does_not_show(sam: Sam) -> None:
    sizes = []

    def decode(embeddings: Tensor, prompts: Prompts, index: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(prompts))
        return Sam.decode(sam, embeddings, prompts, index)

    embeddings = encode(sam)().detach()
    for count in (1, 3, 5, 6, 7, 8):
        prompts = point_prompts(64 * torch.rand(count, 2), torch.ones(count, dtype=torch.int64))
        index = torch.zeros(count, dtype=torch.int64)
        filled = bucketed(decode)(embeddings, prompts, index)
        torch.testing.assert_close(filled, Sam.decode(sam, embeddings, prompts, index))
    assert set(sizes) == {1, 4, 8}


@pytest.mark.slow
def test_a_run_compiles_few_graphs_and_its_answers_stay() -> None:
    """In a process without the runtime types, which no compiler sees through."""
    program = """
import torch
from torch._dynamo.utils import counters
from sam_train.interaction.prompts import point_prompts
from sam_train.modeling.build import assemble
from sam_train.modeling.image_encoder.vit import ImageEncoderViT
from sam_train.modeling.sam import Sam
from sam_train.training.scale.acceleration import Acceleration

encoder = ImageEncoderViT(64, 32, depth=2, num_heads=2, global_attn_indexes=(1,), out_chans=16)
sam = assemble(encoder, dim=16, depth=2, num_heads=2, mlp_dim=32, dropout=0.0).eval()
Acceleration(compile_encoder=True, compile_decoder=True, backend="aot_eager").apply(sam)
images = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
with torch.no_grad():
    embeddings = sam.encode(images, torch.tensor([[64, 64]]))
    for count in (5, 6, 7, 8, 5, 7):
        index = torch.zeros(count, dtype=torch.int64)
        prompts = point_prompts(64 * torch.rand(count, 2), torch.ones(count, dtype=torch.int64))
        for point in range(9):
            logits, iou_pred = sam.decode(embeddings, prompts, index)
            expected, _ = Sam.decode(sam, embeddings, prompts, index)
            torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
            prompts = prompts.with_masks(logits[:, :1])
            prompts = prompts.add_points(64 * torch.rand(count, 2), torch.ones_like(index))
print(counters["stats"]["unique_graphs"])
"""
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert int(output.splitlines()[-1]) <= 6
