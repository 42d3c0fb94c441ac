import json

import numpy as np
import pytest
import torch

from sam_train.data.rle import encode_mask
from tools.benchmarks import __main__ as command
from tools.benchmarks.comparison import Comparison, peak_mb, report
from tools.benchmarks.inference.amg_gpu import are_same


def busy(steps: int):
    return lambda: sum(range(steps))


def test_a_row_says_whether_the_target_is_met(capsys):
    fast, slow = busy(1000), busy(1_000_000)
    met = Comparison("sum", "peer", fast, slow, equal=True, n=1, target=2.0)
    missed = Comparison("sum", "peer", slow, fast, equal=True, n=1, target=2.0)

    assert report([met, missed])

    _, first, second, *lines = capsys.readouterr().out.splitlines()
    assert " met " in first and "not met" in second
    assert [json.loads(line)["equal"] for line in lines] == [True, True]


def test_different_results_are_reported(capsys):
    assert not report([Comparison("sum", "peer", busy(1000), busy(1000), equal=False, n=1)])
    assert " NO " in capsys.readouterr().out


def test_peak_memory_is_that_of_one_run():
    assert 60 < peak_mb(lambda: np.ones(64 << 20, np.uint8)) < 80


def test_an_unknown_benchmark_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["rle_encod"])
    assert "there is no benchmark rle_encod; there are rle_encode" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", command.ON_GPU)
def test_without_a_gpu_its_benchmarks_say_so(name):
    with pytest.raises(SystemExit, match="there is no GPU here"):
        command.main([name])


def test_masks_of_two_lists_are_the_same_in_number_place_and_shape():
    mask = np.zeros((20, 30), bool)
    mask[5:, 5:] = True
    masks = [{"segmentation": encode_mask(each)} for each in (mask, ~mask)]
    assert are_same(masks, masks) and are_same([], [])
    assert not are_same(masks, masks[::-1])
    assert not are_same(masks, masks[:1])
