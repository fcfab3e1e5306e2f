"""What a built layer has, and has not, where a Dockerfile leaves it open: as BuildKit does it."""

import io
import json
import subprocess
import tarfile
from pathlib import Path


def layer_of(engine, image: str, tmp_path: Path) -> dict[str, tarfile.TarInfo]:
    """Return the entries of an image's topmost layer by name."""
    archive = tmp_path / "image.tar"
    engine.docker("save", "-o", str(archive), image)
    with tarfile.open(archive) as image_tar:
        manifest = json.load(image_tar.extractfile("manifest.json"))
        layer = image_tar.extractfile(manifest[0]["Layers"][-1]).read()
    with tarfile.open(fileobj=io.BytesIO(layer)) as layer_tar:
        return {member.name.removeprefix("./"): member for member in layer_tar}


def test_a_layer_has_no_places_that_were_only_mounted_on(engine, cutaway, context, tmp_path):
    (tmp_path / "in").mkdir()
    directory = context(
        "FROM busybox AS box\nFROM scratch\nCOPY --from=box /bin /bin\n"
        "RUN --mount=type=cache,target=/a/b/c --mount=type=tmpfs,target=/bin/tmp"
        " --mount=target=/kept/ctx --mount=type=cache,target=/kept/ctx/in"
        ' ["/bin/sh", "-c", "touch /kept/file /a/b/c/cached; mkdir /empty"]\n',
    )
    cutaway("build", "-q", "-t", "mounted", directory)
    names = set(layer_of(engine, "mounted", tmp_path))
    assert names - {".", "", "bin", "dev", "proc", "sys"} == {"kept", "kept/file", "empty"}
    context(
        "FROM busybox\nRUN --mount=type=cache,target=/etc/deep/cache true\nRUN chmod 700 /etc\n"
    )
    told = cutaway("build", "-t", "changed", "--explain", directory)
    assert "#2 adds no layer: it changed no file" in told
    assert layer_of(engine, "changed", tmp_path)["etc"].mode == 0o700


def test_what_is_made_belongs_to_whom_and_with_which_mode(engine, cutaway, context, tmp_path):
    directory = context(
        "FROM busybox\nUSER www-data:audio\nWORKDIR /work/dir\nUSER nobody-here\nWORKDIR /other\n"
        "ADD --chown=7:8 in.tar /unpacked/\nCOPY . /copied\nENV A=1\n"
        "COPY <<EOF /text\n\\$A $A \\\\ \\n 'q'\nEOF\nUSER root\n"
        "RUN <<EOF\n#!/bin/sh\necho $0 > /script\nEOF\n"
        "RUN cat /text /script; cd / && stat -c '%n %u:%g %a' work/dir other unpacked copied/*\n",
        **{".dockerignore": "ignored\n!ignored/kept\n", "plain": "x"},
    )  # fmt: skip
    (tmp_path / "ignored").mkdir(mode=0o700)
    (tmp_path / "ignored" / "kept").mkdir(mode=0o711)
    subprocess.run(["tar", "cf", "in.tar", "plain"], cwd=tmp_path, check=True)
    done = cutaway.run("build", directory)
    told = done.stdout + done.stderr
    for line in ("$A 1 \\ n 'q'", "/dev/pipes/EOF", "work/dir 33:29 755", "other 0:0 755",
                 "unpacked 7:8 755", "copied/ignored 0:0 700"):  # fmt: skip
        assert line in told, line
