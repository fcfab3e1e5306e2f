"""Images side by side with dockerd 28.5: pull, push, save and load of 500 MB in five layers.

    .venv/bin/python bench/images.py [RUNS]

The registry is Debian's, on loopback, the same for both; runs are interleaved. Prints the median
of each and the ratio. Needs root, Debian's mirror, skopeo, and no other load.
"""

import hashlib
import io
import json
import random
import statistics
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from isal import igzip

from support.engine import EngineUnderTest
from support.host import TestHost
from support.peer import Dockerd
from support.registry import Registry

LAYERS = 5
LAYER_BYTES = 100_000_000
_TYPE = "application/vnd.oci.image."


def layer(number: int) -> bytes:
    """Return a tar of a few hundred files of 1 kB to 1 MB, compressible by about a third."""
    chosen = random.Random(number)
    text = Path(sys.executable).resolve().read_bytes()
    out, total = io.BytesIO(), 0
    with tarfile.open(fileobj=out, mode="w") as tar:
        while total < LAYER_BYTES:
            size = chosen.choice([1000, 5000, 20_000, 200_000, 1_000_000])
            start = chosen.randrange(0, max(1, len(text) - size))
            content = bytearray(text[start : start + size])
            content[size // 4 : size // 2] = chosen.randbytes(size // 2 - size // 4)
            info = tarfile.TarInfo(f"layer{number}/{total % 40}/file{total}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(bytes(content)))
            total += len(content)
    return out.getvalue()


def make_layout(root: Path) -> None:
    """Write an OCI layout with the image."""
    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": _TYPE + kind, "digest": f"sha256:{digest}", "size": len(data)}

    layers, diff_ids = [], []
    for number in range(LAYERS):
        tar = layer(number)
        diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        layers.append(put(igzip.compress(tar), "layer.v1.tar+gzip"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _TYPE + "manifest.v1+json",
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": layers,
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def timed_s(action: Callable[[], object]) -> float:
    """Return how many seconds ``action`` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(engine: EngineUnderTest, registry: Registry, scratch: Path) -> dict[str, float]:
    """Run the four operations once."""
    name, fresh = f"{registry.address}/big", f"{registry.address}/run{time.monotonic_ns()}"
    archive = scratch / f"{type(engine).__name__}.tar"
    times = {"pull": timed_s(lambda: engine.docker("pull", "-q", name))}
    engine.docker("tag", name, fresh)
    second = Registry(engine.host, 5001)
    try:
        target = f"{second.address}/big"
        engine.docker("tag", name, target)
        times["push"] = timed_s(lambda: engine.docker("push", "-q", target))
    finally:
        second.close()
    times["save"] = timed_s(lambda: engine.docker("save", "-o", str(archive), name))
    engine.docker("rmi", "-f", name, fresh, target)
    times["load"] = timed_s(lambda: engine.docker("load", "-q", "-i", str(archive)))
    engine.docker("rmi", "-f", name, check=False)
    archive.unlink()
    return times


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    host = TestHost()
    registry = Registry(host)
    ours, theirs = EngineUnderTest(host=host), Dockerd(host=host)
    try:
        with TemporaryDirectory() as directory:
            scratch = Path(directory)
            make_layout(scratch / "layout")
            host.run(
                "skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{scratch}/layout:latest",
                f"docker://{registry.address}/big:latest",
            )  # fmt: skip
            found: dict[str, tuple[list[float], list[float]]] = {}
            for engine in (ours, theirs):
                engine.start()
            for _ in range(runs):
                for side, engine in enumerate((ours, theirs)):
                    for name, seconds in measure(engine, registry, scratch).items():
                        found.setdefault(name, ([], []))[side].append(seconds)
        print("| 500 MB in five layers | cutaway | dockerd 28.5 | ratio |\n|---|---|---|---|")
        for name, sides in found.items():
            mine, other = (statistics.median(side) for side in sides)
            print(f"| {name} | {mine:.2f} s | {other:.2f} s | {other / mine:.1f} |")
    finally:
        ours.close()
        registry.close()
        theirs.close()  # and the host that all share


if __name__ == "__main__":
    main()
