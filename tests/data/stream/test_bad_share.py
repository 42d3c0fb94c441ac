import pytest

from sam_train.data.stream.bad_share import BadShare


def test_a_share_of_bad_samples_ends_the_run_once_it_is_a_share(tmp_path):
    share = BadShare(0.1, listed_in=tmp_path / "bad.jsonl")
    share.add(used=60, bad=39)
    with pytest.raises(ValueError, match=r"39 of 100 .* max_bad_share=0.1; .*bad.jsonl says why"):
        share.add(used=1, bad=0)


def test_a_share_at_its_limit_is_endured(tmp_path):
    BadShare(0.1, listed_in=tmp_path / "bad.jsonl").add(used=180, bad=20)
