"""Archives that are read while they are written."""

import io
import tarfile

import pytest

from cutaway.cli.tar_stream import TarStream


def entry(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


@pytest.mark.parametrize("size", [0, 1, 512, (3 << 20) + 5])
def test_what_is_written_is_read_back(size: int) -> None:
    stream, content = TarStream(), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    written = b"".join(stream.add(entry("a", size), io.BytesIO(content)))
    written += b"".join(stream.add(entry("b", 1), io.BytesIO(b"b")))
    written += b"".join(stream.end())
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        assert archive.getnames() == ["a", "b"]
        assert archive.extractfile("a").read() == content  # type: ignore[union-attr]


def test_a_file_that_shrinks_meanwhile_is_filled_with_zeros() -> None:
    stream = TarStream()
    written = b"".join(stream.add(entry("a", 9), io.BytesIO(b"1234")))
    written += b"".join(stream.end())
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        assert archive.extractfile("a").read() == b"1234" + bytes(5)  # type: ignore[union-attr]


def test_large_content_comes_in_pieces() -> None:
    stream = TarStream()
    pieces = list(stream.add(entry("a", 8 << 20), io.BytesIO(bytes(8 << 20))))
    assert max(map(len, pieces)) < 2 << 20
