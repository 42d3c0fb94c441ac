import torch

from sam_train.interaction.draws import mix_seeds, normal, uniform

SEEDS = torch.arange(20_000)


def test_mixed_seeds_are_the_published_outputs_of_splitmix64() -> None:
    zero = torch.tensor([0])
    outputs = [mix_seeds(zero, stream).item() % 2**64 for stream in range(3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_negative_seeds_and_large_ones_wrap_around() -> None:
    seeds = torch.tensor([-1, 2**63 - 1, -(2**63)])
    assert len(mix_seeds(seeds, 10**9).unique()) == 3


def test_uniform_draws_fill_the_unit_interval_evenly() -> None:
    draws = uniform(SEEDS, 0)
    assert draws.dtype == torch.float64
    assert draws.min() >= 0 and draws.max() < 1
    counts = draws.histc(bins=20, min=0, max=1)
    assert ((counts - 1000).square() / 1000).sum() < 43.8  # chi-square, 19 degrees, p = 0.001


def test_streams_of_one_seed_and_neighbouring_seeds_are_independent() -> None:
    first, second, neighbour = uniform(SEEDS, 0), uniform(SEEDS, 1), uniform(SEEDS + 1, 0)
    correlation = torch.corrcoef(torch.stack([first, second, neighbour])).triu(1)
    assert correlation.abs().max() < 0.03  # four standard errors


def test_a_draw_belongs_to_its_seed_whatever_lies_beside_it() -> None:
    shuffled = torch.randperm(len(SEEDS))
    assert torch.equal(uniform(SEEDS[shuffled], 3), uniform(SEEDS, 3)[shuffled])
    assert uniform(SEEDS[7:8], 3) == uniform(SEEDS, 3)[7]


def test_normal_draws_have_mean_zero_deviation_one_and_are_finite() -> None:
    draws = normal(SEEDS, 0)
    assert draws.isfinite().all()
    assert abs(draws.mean()) < 0.03
    assert abs(draws.std() - 1) < 0.03
    assert abs((draws.abs() < 1).double().mean() - 0.683) < 0.015
