import bz2
import gzip
import io
import tarfile
from pathlib import Path

import pytest

from sam_train.data.store.tar_members import tar_members


def write_tar(path: Path, *members: str | tarfile.TarInfo) -> None:
    with tarfile.open(path, "w") as tar:
        for member in members:
            header = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            header.size = 3 if header.isreg() else 0
            tar.addfile(header, io.BytesIO(b"abc"))


class Problems(list):
    """Remembers what `on_bad` was told: (key, kind)."""

    def __call__(self, shard: str, key: str, error: Exception) -> None:
        self.append((key, type(error).__name__))


def read(path: Path) -> tuple[list[tuple[str, str]], Problems]:
    """The members (key, kind) of a tar, and its problems."""
    problems = Problems()
    with path.open("rb") as file:
        return [member[:2] for member in tar_members(path, file, problems)], problems


def test_members_are_found_in_order_whatever_their_prefix_and_suffix(tmp_path):
    write_tar(tmp_path / "a.tar", "./sa_2.json", "LICENSE", "sa_1.JPEG", "sub/sa_2.png")
    members = [("sa_2", ".json"), ("sa_1", ".jpg"), ("sub/sa_2", ".jpg")]
    assert read(tmp_path / "a.tar") == (members, [])


def test_a_member_is_read_from_where_it_lies(tmp_path):
    write_tar(tmp_path / "a.tar", "a.jpg", "b.jpg")
    with (tmp_path / "a.tar").open("rb") as file:
        assert [member.read(file) for member in tar_members(tmp_path / "a.tar", file)] == [
            b"abc"
        ] * 2


@pytest.mark.parametrize(
    "name", ["/etc/a.jpg", "../a.jpg", "b/../../a.jpg", "a\udcff.jpg", "a\n.jpg"]
)
def test_names_that_lead_elsewhere_or_cannot_be_printed_are_refused(tmp_path, name):
    write_tar(tmp_path / "a.tar", name, "b.jpg")
    members, problems = read(tmp_path / "a.tar")
    assert members == [("b", ".jpg")]
    assert [kind for _, kind in problems] == ["UnusableMember"]


def test_of_two_members_of_a_key_the_first_is_used(tmp_path):
    write_tar(tmp_path / "a.tar", "a.jpg", "a.json", "./a.json", "a.png")
    assert read(tmp_path / "a.tar") == (
        [("a", ".jpg"), ("a", ".json")],
        [("a", "RepeatedMember"), ("a", "RepeatedMember")],
    )


def test_links_and_folders_are_passed_over(tmp_path):
    link, folder = tarfile.TarInfo("a.jpg"), tarfile.TarInfo("b.jpg")
    link.type, link.linkname, folder.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.DIRTYPE
    write_tar(tmp_path / "a.tar", link, folder)
    assert read(tmp_path / "a.tar") == ([], [])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_compressed_tars_are_refused_unread(tmp_path, compress):
    (tmp_path / "a.tar").write_bytes(compress(bytes(1_000_000)))
    assert read(tmp_path / "a.tar") == ([], [("", "CompressedShard")])


@pytest.mark.parametrize("content", [b"", b"no tar" * 200, b"\xff" * 5000])
def test_what_is_no_tar_is_reported(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    assert read(tmp_path / "a.tar") == ([], [("", "TruncatedShard")])


@pytest.mark.parametrize("size", [1000, 1024 + 100, 1536, 2048])
def test_a_tar_that_is_cut_anywhere_is_reported(tmp_path, size):
    write_tar(tmp_path / "a.tar", "a.jpg", "b.jpg")
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:size])
    assert read(tmp_path / "a.tar")[1] == [("", "TruncatedShard")]


def test_a_size_below_zero_does_not_go_round_for_ever(tmp_path):
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\x00"  # base 256: -256
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    assert read(tmp_path / "a.tar") == ([], [("", "TruncatedShard")])


def test_a_long_chain_of_long_names_is_reported(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type = tarfile.GNUTYPE_LONGNAME
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) * 5000 + bytes(1024))
    assert read(tmp_path / "a.tar") == ([], [("", "TruncatedShard")])
