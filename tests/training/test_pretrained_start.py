from pathlib import Path

import pytest
import torch

from sam_train.modeling.build import build_sam_tiny, build_sam_tiny_plain
from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam
from sam_train.training.start.pretrained_start import DecoderStart, PretrainedStart


def saved(sam: Sam, folder: Path) -> str:
    file = folder / "model.safetensors"
    save_model(sam, file, model=sam.recipe[0], config=sam.recipe[1])
    return str(file)


def test_a_training_starts_from_the_encoder_of_another_run(tmp_path: Path) -> None:
    before, after = (build_sam_tiny(image_size=64, dim=32) for _ in range(2))
    started: list[Sam] = []

    PretrainedStart(saved(before, tmp_path), started.append)(after)

    torch.testing.assert_close(after.image_encoder.state_dict(), before.image_encoder.state_dict())
    assert started == [after]


def test_a_training_starts_from_the_decoder_of_a_teacher(tmp_path: Path) -> None:
    teacher, student = build_sam_tiny(dim=32), build_sam_tiny_plain(dim=32)
    encoder = {name: v.clone() for name, v in student.image_encoder.state_dict().items()}

    DecoderStart(saved(teacher, tmp_path))(student)

    for part in ("prompt_encoder", "mask_decoder"):
        own, given = getattr(student, part).state_dict(), getattr(teacher, part).state_dict()
        torch.testing.assert_close(own, given, rtol=0, atol=0)
    torch.testing.assert_close(student.image_encoder.state_dict(), encoder, rtol=0, atol=0)


@pytest.mark.parametrize("start", [PretrainedStart, DecoderStart])
def test_parts_of_another_width_are_refused_and_nothing_is_changed(
    tmp_path: Path, start: type[PretrainedStart] | type[DecoderStart]
) -> None:
    source, sam = saved(build_sam_tiny(image_size=64, dim=32), tmp_path), build_sam_tiny(dim=64)
    before = {name: value.clone() for name, value in sam.state_dict().items()}

    with pytest.raises(ValueError, match="is built otherwise .*: choose"):
        start(source)(sam)

    torch.testing.assert_close(sam.state_dict(), before, rtol=0, atol=0)
