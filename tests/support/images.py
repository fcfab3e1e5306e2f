"""Images for tests, made from this machine's Debian packages."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BUSYBOX = "/bin/busybox"
_EPOCH = "2024-01-01T00:00:00Z"


def busybox_layer() -> bytes:
    """Return a layer with busybox-static, its applets, and the files every system has."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in (
            ("bin", 0o755), ("etc", 0o755), ("dev", 0o755), ("home", 0o755), ("proc", 0o755),
            ("root", 0o700), ("sys", 0o755), ("tmp", 0o1777), ("usr", 0o755), ("var", 0o755),
            ("var/www", 0o755), ("usr/bin", 0o755),
        ):  # fmt: skip
            _add(tar, name, mode, kind=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", 0o755, Path(BUSYBOX).read_bytes())
        for applet in applets.stdout.split():
            if applet != "busybox":
                _add(tar, f"bin/{applet}", 0o777, kind=tarfile.LNKTYPE, link="bin/busybox")
        _add(tar, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n"
             b"www-data:x:33:33:www-data:/var/www:/bin/sh\n"
            b"nobody:x:65534:65534:nobody:/home:/bin/false\n")  # fmt: skip
        _add(
            tar,
            "etc/group",
            0o644,
            b"root:x:0:\nwww-data:x:33:\naudio:x:29:www-data\nnogroup:x:65534:\n",
        )
    return out.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    mode: int,
    data: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.size = mode, kind, link, len(data)
    info.mtime = 1704067200
    tar.addfile(info, io.BytesIO(data))


@dataclass(frozen=True)
class ArchiveImage:
    """An image for ``docker load``: uncompressed layers, and what its configuration says."""

    name: str
    layers: Sequence[bytes]
    config: Mapping[str, object] = field(default_factory=dict)

    @property
    def diff_ids(self) -> list[str]:
        return ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in self.layers]

    def document(self) -> bytes:
        """Return the image configuration."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        history = [{"created": _EPOCH, "created_by": f"layer {n}"} for n in range(len(self.layers))]
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": _EPOCH,
            "config": {"Env": [path], "Cmd": ["sh"], **self.config},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
            "history": history,
        }
        return json.dumps(document).encode()


def docker_archive(path: Path, name: str, layers: list[bytes], config: dict | None = None) -> None:
    """Write an archive for ``docker load`` with the given uncompressed layers."""
    write_archive(path, ArchiveImage(name, layers, config or {}))


def write_archive(path: Path, *images: ArchiveImage) -> None:
    """Write an archive of several images; a layer they share is in it once."""
    members: dict[str, bytes] = {}
    manifest = []
    for image in images:
        document = image.document()
        config_name = hashlib.sha256(document).hexdigest() + ".json"
        names = [f"{d.removeprefix('sha256:')}/layer.tar" for d in image.diff_ids]
        members |= {config_name: document, **dict(zip(names, image.layers, strict=True))}
        manifest.append({"Config": config_name, "RepoTags": [image.name], "Layers": names})
    with tarfile.open(path, "w") as tar:
        for member, content in (*members.items(), ("manifest.json", json.dumps(manifest).encode())):
            _add(tar, member, 0o644, content)


def busybox_archive(directory: Path, name: str = "busybox:latest") -> Path:
    """Make (once a directory) the archive of the busybox image."""
    path = directory / (name.replace("/", "_").replace(":", "_") + ".tar")
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        docker_archive(temporary, name, [busybox_layer()])
        temporary.rename(path)
    return path
