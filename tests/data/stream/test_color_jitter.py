import numpy as np
import torch

from sam_train.data.stream.color_jitter import jitter_colors

IMAGE = torch.randint(60, 200, (3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))


def test_colours_change_with_the_draw_and_the_strength():
    mild, strong = (
        [jitter_colors(IMAGE, np.random.default_rng(seed), strength=s) for seed in range(10)]
        for s in (0.05, 0.5)
    )
    mild_change, strong_change = (
        torch.stack([(image.int() - IMAGE.int()).abs().float().mean() for image in images])
        for images in (mild, strong)
    )
    assert mild_change.mean() < 10 < strong_change.mean()
    assert len({image.numpy().tobytes() for image in strong}) == 10


def test_the_same_draw_gives_the_same_colours():
    first, same = (jitter_colors(IMAGE, np.random.default_rng(3), strength=0.3) for _ in range(2))
    assert first.equal(same)
