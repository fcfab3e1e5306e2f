"""``system df -v``: shared and own sizes, and parts that add up to what du(1) says."""

import json
import os
from pathlib import Path

from support.hostile_registry import tar_of
from support.images import busybox_archive, busybox_layer, docker_archive


def test_parts_add_up_to_du(engine, archives: Path, tmp_path: Path) -> None:
    engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
    layers = [busybox_layer(), tar_of({"own": os.urandom(2_000_000)})]
    docker_archive(tmp_path / "app.tar", "app:1", layers)
    engine.docker("load", "-q", "-i", str(tmp_path / "app.tar"))
    engine.docker("volume", "create", "data")
    engine.docker(
        "run", "--name", "kept", "-v", "data:/data", "busybox", "sh", "-c",
        "dd if=/dev/zero of=/changed bs=1M count=3; dd if=/dev/zero of=/data/f bs=1M count=1",
    )  # fmt: skip

    parts = {part["What"]: part["Size"] for part in engine.client.get("/cutaway/disk")}
    du = int(engine.host.run("du", "-s", "-B1", str(engine.data_root)).stdout.split()[0])
    # The database may write a page between the two measurements.
    assert abs(sum(parts.values()) - du) <= 64 * 1024, parts
    assert parts["Containers' changes (writable layers)"] >= 3 << 20
    assert parts["Volumes"] >= 1 << 20

    url = "http://engine/v1.51/system/df"
    usage = json.loads(engine.host.run("curl", "-s", "--unix-socket", engine.socket, url).stdout)
    images = usage["Images"]
    own = sum(image["Size"] - image["SharedSize"] for image in images)
    (shared,) = {image["SharedSize"] for image in images}
    assert shared > 1_000_000
    assert own + shared == usage["LayersSize"]
    shown = engine.cutaway("system", "df", "-v").stdout
    assert "SHARED SIZE" in shown
    assert "On the disk (adds up to du):" in shown
    engine.docker("rm", "kept")
    engine.docker("volume", "rm", "data")
