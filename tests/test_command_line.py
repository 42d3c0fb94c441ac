from collections.abc import Callable
from pathlib import Path

import pytest

from sam_train.command_line import one_sentence_errors


@pytest.mark.parametrize(
    ("fail", "sentence"),
    [
        (lambda folder: (folder / "gone").read_bytes(), "gone: .*: check the name$"),
        (lambda folder: folder.read_bytes(), "Is a directory: name a file$"),
        (lambda folder: (_file(folder) / "in").mkdir(), "Not a directory: name a folder$"),
    ],
)
def test_an_error_of_the_system_names_the_file_and_the_remedy(
    tmp_path: Path, fail: Callable[[Path], None], sentence: str
) -> None:
    with pytest.raises(SystemExit, match=f"^tool: {tmp_path}.*{sentence}"), _tool():
        fail(tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("first\nsecond"), "tool: first"),
        (ValueError(), "tool: ValueError"),
        (
            OSError(28, "No space left"),
            "tool: the disk of output_dir, HOME or TMPDIR: No space left: make room and run again",
        ),
        (OSError("a.tar could not be written"), "tool: a.tar could not be written"),
    ],
)
def test_an_error_of_ours_is_its_first_line(error: Exception, said: str) -> None:
    with pytest.raises(SystemExit) as ended, _tool():
        raise error
    assert ended.value.code == said


def test_ctrl_c_ends_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, _tool():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "tool: stopped by Ctrl-C\n"


def _tool():
    return one_sentence_errors("tool")


def _file(folder: Path) -> Path:
    path = folder / "file.partial"
    path.write_text("x")
    return path
