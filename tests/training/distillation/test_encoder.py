from typing import Any

import pytest
import torch
from lightning import LightningDataModule

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.stream.collate import Batch
from sam_train.data.stream.examples import ExampleMaker
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from sam_train.training.adaptation import Adaptation
from sam_train.training.distillation.encoder import (
    EncoderDistillation,
    check_views,
    embedding_losses,
)
from sam_train.training.optim import Optimization


def test_the_student_learns_to_see_as_the_teacher_whose_decoder_it_has(
    student: Sam,
    teacher: Sam,
    embeddings: EmbeddingCache,
    batch: Batch,
    optimization: Optimization,
) -> None:
    module = EncoderDistillation(
        student, teacher=teacher, embeddings=embeddings, optimization=optimization
    )
    Adaptation(frozen=("prompt_encoder", "mask_decoder")).apply(student.train())
    optimizer, losses = module.configure_optimizers(), []
    for step in range(30):
        optimizer.zero_grad()
        losses.append(module.learn(batch, step)[0]["train/loss"])
        optimizer.step()

    assert losses[-1] < 0.5 * losses[0]
    for part in ("prompt_encoder", "mask_decoder"):
        taken, given = (getattr(model, part).state_dict() for model in (student, teacher))
        torch.testing.assert_close(taken, given, rtol=0, atol=0)


def test_the_padding_below_an_image_does_not_count(batch: Batch) -> None:
    embeddings, target = torch.zeros(4, 8, 4, 4), torch.zeros(4, 8, 4, 4)
    embeddings[:, :, 2:] = 100.0
    embeddings[:, :, 0] = 1.0
    wide: Any = batch | {"input_sizes": torch.tensor([[32, 64]] * 4)}

    losses = embedding_losses(embeddings, target, wide, image_size=64)

    assert losses.tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_size": 96, "dim": 32}, "of the teacher's image_size and width"),
        ({"image_size": 64, "dim": 64}, "of the teacher's image_size and width"),
    ],
)
def test_a_student_that_cannot_take_the_teachers_place_is_refused(
    options: dict[str, int],
    sentence: str,
    teacher: Sam,
    embeddings: EmbeddingCache,
    optimization: Optimization,
) -> None:
    with pytest.raises(ValueError, match=sentence):
        EncoderDistillation(
            build_sam_tiny(**options),
            teacher=teacher,
            embeddings=embeddings,
            optimization=optimization,
        )


def test_a_teacher_that_did_not_make_the_embeddings_is_refused(
    student: Sam, embeddings: EmbeddingCache, optimization: Optimization
) -> None:
    torch.manual_seed(2)
    other = build_sam_tiny(image_size=64, dim=32)
    with pytest.raises(ValueError, match=r"are of another teacher than fit\.module\.teacher"):
        EncoderDistillation(
            student, teacher=other, embeddings=embeddings, optimization=optimization
        )


def test_embeddings_of_stretched_images_are_no_target_of_a_student_that_pads(
    student: Sam, teacher: Sam, stretched: EmbeddingCache, optimization: Optimization
) -> None:
    with pytest.raises(ValueError, match=r"stretched .* sees them padded: .* without --stretch"):
        EncoderDistillation(
            student, teacher=teacher, embeddings=stretched, optimization=optimization
        )


def test_views_that_the_teacher_did_not_see_are_refused() -> None:
    data = LightningDataModule()
    data.make_example = ExampleMaker(image_size=64, mask_size=16, flip=True)  # type: ignore[attr-defined]

    with pytest.raises(ValueError, match=r"distil with data=shards"):
        check_views(data)
