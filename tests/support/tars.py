"""Tars built entry by entry, also such as no decent tool would write."""

import gzip
import hashlib
from collections.abc import Iterable

from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tar_write import TarWriter


def file(name: str, data: bytes = b"owned", *, mode: int = 0o644, **xattrs: bytes) -> tuple:
    entry = Entry(name.encode(), tar.REGULAR, mode, size=len(data))
    entry.xattrs = {key.replace("__", ".").encode(): value for key, value in xattrs.items()}
    return entry, data


def directory(name: str, mode: int = 0o755, **xattrs: bytes) -> tuple:
    entry = Entry(name.encode() + b"/", tar.DIRECTORY, mode)
    entry.xattrs = {key.replace("__", ".").encode(): value for key, value in xattrs.items()}
    return entry, b""


def symlink(name: str, target: str) -> tuple:
    return Entry(name.encode(), tar.SYMLINK, 0o777, link=target.encode()), b""


def hard_link(name: str, target: str) -> tuple:
    return Entry(name.encode(), tar.HARD_LINK, link=target.encode()), b""


def node(name: str, kind: bytes, major: int = 0, minor: int = 0, mode: int = 0o644) -> tuple:
    return Entry(name.encode(), kind, mode, device_major=major, device_minor=minor), b""


def fifo(name: str) -> tuple:
    return node(name, tar.FIFO)


def build(entries: Iterable[tuple]) -> bytes:
    """Return the tar of ``(Entry, data)`` pairs."""
    out = bytearray()
    writer = TarWriter(out.extend)
    for entry, data in entries:
        writer.add(entry, (data,) if entry.kind == tar.REGULAR else ())
    writer.close()
    return bytes(out)


def raw_entry(typeflag: bytes, data: bytes = b"", name: bytes = b"x", **fields: bytes) -> bytes:
    """Return one header with its data, any field replaced by raw bytes, the checksum right.

    Fields: ``size`` (12 bytes), ``uid`` (8), ``mtime`` (12), ``sparse`` (from byte 386), ``name``.
    """
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[108:116] = fields.get("uid", b"0000000\0")
    block[116:124] = b"0000000\0"
    block[124:136] = fields.get("size", b"%011o\0" % len(data))
    block[136:148] = fields.get("mtime", b"%011o\0" % 0)
    block[156:157] = typeflag
    block[257:265] = fields.get("magic", b"ustar\x0000")
    sparse = fields.get("sparse", b"")
    block[386 : 386 + len(sparse)] = sparse
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % 512)


END = bytes(1024)


def pax(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return an extended header for the entry that follows."""
    body = b""
    for key, value in records:
        line = b" " + key + b"=" + value + b"\n"
        length = len(line) + 1
        while len(b"%d" % length) + len(line) != length:
            length += 1
        body += b"%d" % length + line
    return raw_entry(b"x", body)


def diff_id(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)
