"""What a run and a dataset version say about the code that made them."""

import subprocess
from pathlib import Path

import pytest

from sam_train.origin import checkout, code_version

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_the_code_version_names_the_commit() -> None:
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout
    _, plus, named = code_version().partition("+")
    assert plus and commit.startswith(named.removesuffix("-dirty"))


def test_code_without_a_repository_has_the_version_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert checkout() == (None, None)
    assert "+" not in code_version() and "-dirty" not in code_version()
