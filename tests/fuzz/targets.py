"""What each fuzzer feeds, and what must hold whatever it is fed.

A target takes any bytes. It lets pass only the refusals that its parser promises; anything else
that is raised, and any property that fails, is a finding.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from cutaway.build.dockerfile.dockerignore import IgnoreRules, parse_dockerignore
from cutaway.build.dockerfile.parser import parse_dockerfile
from cutaway.build.errors import DockerfileError
from cutaway.errors import InvalidParameter
from cutaway.images.layers.compression import DecompressedStream
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.tar_read import Limits, TarReader
from cutaway.images.resolve import split_path
from cutaway.oci import (
    Reference,
    encode_document,
    parse_image_config,
    parse_manifest,
)
from support.slow_match import slow_ignores
from support.tars import END, build, directory, file, hard_link, pax, raw_entry, symlink

_LIMITS = Limits(entries=1000, header_bytes=1 << 16, sparse_segments=100)
_IGNORE_ALPHABET = "ab/*?[]^-\\.! "


def dockerfile(data: bytes) -> None:
    """Any text is a Dockerfile or an error that says where."""
    with suppress(DockerfileError):
        parse_dockerfile(data.decode("utf-8", "replace"))


def dockerignore(data: bytes) -> None:
    """Any patterns are refused, or match as the reference matcher does."""
    text = "".join(_IGNORE_ALPHABET[byte % len(_IGNORE_ALPHABET)] for byte in data[:24])
    path = "".join("ab/."[byte % 4] for byte in data[24:36])
    path = "/".join(part for part in path.split("/") if part.strip("."))
    if not path:
        return
    try:
        patterns = parse_dockerignore(text.replace("  ", "\n"))
    except InvalidParameter:
        return
    lines = [(pattern.is_exception, pattern.text) for pattern in patterns]
    assert IgnoreRules(patterns).ignores(path) == slow_ignores(lines, path), (lines, path)


def tar(data: bytes) -> None:
    """Any bytes are a tar or a refusal, and no name leads out after cleaning."""
    pieces = iter([data[at : at + 4096] for at in range(0, len(data), 4096)])
    total = 0
    with suppress(BadLayer):
        stream = DecompressedStream(lambda size: next(pieces, b""))
        reader = TarReader(stream.read_chunk, _LIMITS)
        for entry in reader:
            components = split_path(entry.name)
            assert components is None or not {b"", b".", b".."}.intersection(components)
            total += sum(len(piece) for piece in islice(reader.pieces(), 1000))
            assert entry.stored_size <= entry.size or entry.sparse is None
            if total > 1 << 22:
                return  # a bomb: the disk's floor is what stops it in the worker


def manifest(data: bytes) -> None:
    """Any bytes are a manifest or an index that survives being written again, or a refusal."""
    try:
        document = parse_manifest(data)
    except InvalidParameter:
        return
    again = parse_manifest(encode_document(document.to_json()), document.media_type)
    assert again == document


def image_config(data: bytes) -> None:
    """Any bytes are an image config that survives being written again, or a refusal."""
    try:
        config = parse_image_config(data)
    except InvalidParameter:
        return
    assert parse_image_config(encode_document(config.to_json())) == config


def reference(data: bytes) -> None:
    """Any text is a reference that its own two spellings give again, or a refusal."""
    try:
        found = Reference.parse(data.decode("utf-8", "replace"))
    except InvalidParameter:
        return
    assert Reference.parse(str(found)) == found
    assert Reference.parse(found.familiar) == found
    assert ".." not in found.path.split("/")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "dockerfile": dockerfile,
    "dockerignore": dockerignore,
    "tar": tar,
    "manifest": manifest,
    "image_config": image_config,
    "reference": reference,
}

_DIGEST = b"sha256:" + b"0123456789abcdef" * 4
_DESCRIPTOR = b'{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":2}'
_CONFIG = _DESCRIPTOR % _DIGEST
SEEDS: dict[str, tuple[bytes, ...]] = {
    "dockerfile": (
        b"# escape=`\nARG A=1\nFROM a:${A} AS b\nRUN --mount=type=bind,from=b x\\\n y\n",
        b'FROM a\nCOPY --from=b --chown=1:2 ["x", "y"]\nRUN <<E\necho\nE\nONBUILD RUN x\n',
        b'FROM a\nHEALTHCHECK --interval=1s CMD x\nENV a=b c="d e"\nSHELL ["sh"]\nUSER 1\n',
    ),
    "dockerignore": (bytes(range(36)), bytes(range(100, 136))),
    "tar": (
        build([directory("d"), file("d/f"), symlink("s", "d"), hard_link("h", "d/f")]),
        pax([(b"path", b"x"), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"b")])
        + raw_entry(b"0", b"data")
        + END,
        raw_entry(b"L", b"long\0") + raw_entry(b"0", b"data") + END,
    ),
    "manifest": (
        b'{"schemaVersion":2,"config":' + _CONFIG + b',"layers":[' + _CONFIG + b"]}",
        b'{"schemaVersion":2,"manifests":[' + _CONFIG[:-1]
        + b',"platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}',
    ),
    "image_config": (
        b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["' + _DIGEST
        + b'"]},"config":{"Env":["A=b"],"Cmd":["x"],"Labels":{"a":"b"},"ExposedPorts":{"1/tcp":{}},'
        b'"Healthcheck":{"Test":["CMD","x"],"Interval":1}},"history":[{"empty_layer":true}]}',
    ),
    "reference": (b"docker.io/library/a:b", b"[::1]:5000/a/b@" + _DIGEST, b"a.b:1/c__d.e-f"),
}  # fmt: skip
