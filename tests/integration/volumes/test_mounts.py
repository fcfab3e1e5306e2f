"""What a container sees of volumes, host directories and images, by docker's own command line."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest


@pytest.fixture
def directory(engine: EngineUnderTest) -> Iterator[Path]:
    """A directory of the host, with a file; owned by 1000:1001."""
    path = Path(engine.directory) / "src"
    path.mkdir()
    (path / "own").write_text("x")
    for owned in (path, path / "own"):
        os.chown(owned, 1000, 1001)
    yield path
    engine.remove_containers()
    inside = [line.split()[4] for line in engine.host.mounts() if str(path) in line]
    for target in reversed(inside):
        engine.host.run("umount", "-l", target)
    engine.host.run("rm", "-rf", str(path))


@pytest.fixture(autouse=True)
def _no_volumes_left(engine: EngineUnderTest) -> Iterator[None]:
    yield
    engine.remove_containers()
    engine.docker("volume", "prune", "-af")


def run(engine: EngineUnderTest, *words: str, fails: bool = False) -> str:
    """Run a script in a fresh container: flags, and the script last."""
    *flags, script = words
    done = engine.docker("run", "--rm", *flags, "busybox", "sh", "-c", script, check=not fails)
    assert bool(done.returncode) is fails, done.stdout
    return done.stderr if fails else done.stdout


def owners(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(directory)): (path.lstat().st_uid, path.lstat().st_gid)
        for path in (directory, *directory.iterdir())
    }


# Copy-up


def test_a_volume_starts_with_the_images_content_and_owners_at_the_create(
    engine: EngineUnderTest,
) -> None:
    engine.docker("create", "--name", "store", "-v", "data:/var", "busybox")
    (data,) = engine.client.get("/volumes", filters='{"name":["data"]}')["Volumes"]
    assert [p.name for p in Path(data["Mountpoint"]).iterdir()] == ["www"]
    assert run(engine, "--volumes-from", "store", "ls /var") == "www\n"
    assert run(engine, "-v", "none:/var:nocopy", "ls /var") == ""
    # What is there is not touched.
    run(engine, "-v", "data:/d", "rmdir /d/www; touch /d/mine")
    assert run(engine, "-v", "data:/var", "ls /var") == "mine\n"


def test_owner_and_mode_of_the_directory_itself_are_the_images(engine: EngineUnderTest) -> None:
    assert run(engine, "-v", "fresh:/tmp", "stat -c %a /tmp") == "1777\n"
    assert run(engine, "-v", "fresh:/elsewhere", "stat -c %a /elsewhere") == "1777\n"
    engine.docker("run", "--name", "make", "busybox", "sh", "-c", "mkdir -p /s/x; chown 7:8 /s/x")
    engine.docker("commit", "make", "owned")
    done = engine.docker("run", "--rm", "-v", "new:/s/x", "owned", "stat", "-c", "%u:%g", "/s/x")
    assert done.stdout == "7:8\n"
    engine.docker("rm", "make")
    engine.docker("rmi", "owned")


def test_a_mount_of_its_own_is_filled_at_the_start(engine: EngineUnderTest) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=5,mode=750")
    engine.docker("volume", "create", *options, "memory")
    assert run(engine, "-v", "memory:/var", "ls /var; df -P /var | tail -1").split()[0] == "www"
    # The image has nothing there: the options of the volume hold.
    assert run(engine, "-v", "memory:/nowhere", "stat -c %u:%a /nowhere") == "5:750\n"


@pytest.mark.parametrize("target", ["/lib64/link", "/link/dir", "/evil"])
def test_links_in_the_image_lead_nowhere(engine: EngineUnderTest, target: str) -> None:
    """CVE-2022-23648: the image's VOLUME is a link to a directory of the host."""
    canary = Path(engine.directory) / "canary"
    canary.mkdir()
    (canary / "secret").write_text("the host's")
    script = f"mkdir -p /lib64; ln -s {canary} /evil; ln -s {canary} /lib64/link; ln -s / /link"
    engine.docker("run", "--name", "make", "busybox", "sh", "-c", script)
    engine.docker("commit", "--change", f"VOLUME {target}", "make", "evil")
    try:
        engine.docker("create", "--name", "victim", "evil")
        seen = engine.docker("run", "--rm", "--volumes-from", "victim", "busybox", "find", target)
        assert "secret" not in seen.stdout
        assert (canary / "secret").read_text() == "the host's"
        assert [p.name for p in canary.iterdir()] == ["secret"]
    finally:
        engine.remove_containers()
        engine.docker("rmi", "-f", "evil")
        (canary / "secret").unlink()
        canary.rmdir()


# Parts of volumes


def test_a_part_of_a_volume(engine: EngineUnderTest) -> None:
    run(engine, "-v", "data:/d", "mkdir -p /d/a/b; echo deep > /d/a/b/f; ln -s a/b /d/in")
    for subpath in ("a/b", "in"):
        mount = f"type=volume,src=data,dst=/x,volume-subpath={subpath}"
        assert run(engine, "--mount", mount, "cat /x/f; touch /x/g") == "deep\n"
    assert run(engine, "--mount", "type=volume,src=data,dst=/x,volume-subpath=a/b/f", "cat /x") == (
        "deep\n"
    )
    engine.docker("create", "--name", "still", "--mount", mount, "busybox")
    assert engine.docker("cp", "still:/x/f", "-").stdout.count("deep") == 1


@pytest.mark.parametrize(
    ("subpath", "message"),
    [
        ("nothing", "no such file or directory"),
        ("out", "it leads out of the volume"),
        ("up", "it leads out of the volume"),
        ("a/../../x", "must be a relative path within the volume"),
        ("/etc", "must be a relative path within the volume"),
    ],
)
def test_no_part_leads_out_of_its_volume(
    engine: EngineUnderTest, subpath: str, message: str
) -> None:
    run(engine, "-v", "data:/d", "mkdir /d/a; ln -s /etc /d/out; ln -s ../../../../etc /d/up")
    mount = f"type=volume,src=data,dst=/x,volume-subpath={subpath}"
    assert message in run(engine, "--mount", mount, "ls /x", fails=True)


def test_a_part_exchanged_for_a_link_all_the_time_is_never_followed(
    engine: EngineUnderTest,
) -> None:
    """CVE-2024-23651's kind: one container swaps the directory while others mount it."""
    swap = "mkdir -p /d/real; cd /d; while :; do ln -sfn /etc sub; rm sub; ln -sfn real sub; done"
    engine.docker("run", "-d", "--name", "attacker", "-v", "data:/d", "busybox", "sh", "-c", swap)
    mount = "type=volume,src=data,dst=/x,volume-subpath=sub"
    for _ in range(5):
        seen = engine.docker(
            *("run", "--rm", "--mount", mount, "busybox", "sh", "-c", "test -e /x/passwd"),
            check=False,
        )
        assert seen.returncode != 0


# Owners


def test_idmap_shows_the_owner_as_the_containers_user(
    engine: EngineUnderTest, directory: Path
) -> None:
    script = "stat -c %u:%g /s /s/own; touch /s/new; stat -c %u:%g /s/new"
    seen = run(engine, "-u", "www-data", "-v", f"{directory}:/s:idmap", script)
    assert seen.split() == ["33:33"] * 3
    assert set(owners(directory).values()) == {(1000, 1001)}
    # The user's own files are shown as the owner's: nothing is hidden.
    (directory / "theirs").write_text("")
    os.chown(directory / "theirs", 33, 33)
    seen = run(engine, "-u", "33", "-v", f"{directory}:/s:ro,idmap", "stat -c %u:%g /s/theirs")
    assert seen == "1000:1001\n"


def test_idmap_with_ranges(engine: EngineUnderTest, directory: Path) -> None:
    bind = f"{directory}:/s:idmap=uids=1000-5-10;gids=1001-6-1"
    assert run(engine, "-v", bind, "stat -c %u:%g /s/own") == "5:6\n"


def test_idmap_says_which_file_system_can_not(engine: EngineUnderTest) -> None:
    message = run(engine, "-u", "5", "-v", "/proc:/s:idmap", "true", fails=True)
    assert "this file system has no id-mapped mounts: use :U instead" in message


def test_u_gives_the_source_to_the_user(engine: EngineUnderTest, directory: Path) -> None:
    (directory / "link").symlink_to("/etc/passwd")
    before = os.stat("/etc/passwd")
    binds = ("-v", f"{directory}:/s:U", "-v", "fresh:/v:U")
    assert run(engine, "-u", "www-data", *binds, "touch /s/new /v/new; stat -c %u /v") == "33\n"
    assert set(owners(directory).values()) == {(33, 33)}
    assert os.stat("/etc/passwd").st_uid == before.st_uid


# Read-only, propagation


def test_ro_is_recursive_unless_it_is_said(engine: EngineUnderTest, directory: Path) -> None:
    inner = directory / "inner"
    inner.mkdir()
    engine.host.run("mount", "-t", "tmpfs", "inner", str(inner))
    script = "touch /r/a 2>/dev/null || echo ro; touch /r/inner/a 2>/dev/null || echo inner ro"
    bind = f"type=bind,src={directory},dst=/r,readonly"
    assert run(engine, "-v", f"{directory}:/r:ro", script) == "ro\ninner ro\n"
    assert run(engine, "--mount", bind, script) == "ro\ninner ro\n"
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", script],
        "HostConfig": {
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": str(directory),
                    "Target": "/r",
                    "ReadOnly": True,
                    "BindOptions": {"ReadOnlyNonRecursive": True},
                }
            ]
        },
    }
    engine.client.post("/containers/create", body, name="writable")
    assert engine.docker("start", "-a", "writable").stdout == "ro\n"


def test_shared_propagation_works_both_ways(engine: EngineUnderTest, directory: Path) -> None:
    (directory / "late").mkdir()
    words = ("run", "-d", "--name", "peer", "--cap-add", "SYS_ADMIN", "--security-opt")
    words += ("seccomp=unconfined", "-v", f"{directory}:/p:rshared", "busybox", "sleep", "100")
    engine.docker(*words)
    engine.host.run("mount", "-t", "tmpfs", "fromhost", str(directory / "late"))
    assert "fromhost" in engine.docker("exec", "peer", "cat", "/proc/mounts").stdout
    engine.docker("exec", "peer", "sh", "-c", "mkdir /p/in && mount -t tmpfs fromin /p/in")
    assert any("fromin" in line for line in engine.host.mounts())


def test_private_is_the_default(engine: EngineUnderTest, directory: Path) -> None:
    (directory / "late").mkdir()
    engine.docker("run", "-d", "--name", "peer", "-v", f"{directory}:/p", "busybox", "sleep", "100")
    engine.host.run("mount", "-t", "tmpfs", "fromhost", str(directory / "late"))
    assert "fromhost" not in engine.docker("exec", "peer", "cat", "/proc/mounts").stdout


# tmpfs


def test_tmpfs_size_and_mode(engine: EngineUnderTest) -> None:
    seen = run(
        engine,
        *("--tmpfs", "/t:size=1m,mode=700,uid=3,exec"),
        *("--mount", "type=tmpfs,dst=/u,tmpfs-size=2m,tmpfs-mode=1770"),
        "df -P /t /u | awk 'NR>1{print $2}'; stat -c %a:%u /t /u; grep ' /[tu] ' /proc/mounts",
    ).splitlines()
    assert seen[:4] == ["1024", "2048", "700:3", "1770:0"]
    assert "noexec" not in next(line for line in seen if " /t " in line)
    assert "noexec" in next(line for line in seen if " /u " in line)


# Images


def test_an_image_is_mounted_read_only_and_kept(engine: EngineUnderTest) -> None:
    mount = "type=image,src=busybox,dst=/img"
    script = "ls /img; touch /img/x 2>/dev/null || echo read-only"
    seen = run(engine, "--mount", mount, script).split()
    assert {"bin", "etc", "read-only"} <= set(seen)
    part = f"{mount},image-subpath=etc"
    assert run(engine, "--mount", part, "ls /img").split() == ["group", "passwd"]
    message = run(engine, "--mount", f"{mount},image-subpath=none", "ls /img", fails=True)
    assert "No such file or directory" in message
    engine.docker("run", "--name", "make", "busybox", "touch", "/here")
    engine.docker("commit", "make", "second")
    engine.docker("rm", "make")
    mount = "type=image,src=second,dst=/img"
    engine.docker("create", "--name", "holder", "--mount", mount, "busybox", "ls", "/img/here")
    refused = engine.docker("rmi", "second", check=False)
    assert "holder" in refused.stderr or "is using its referenced image" in refused.stderr
    # Even when it is forced, the container has its layers.
    engine.docker("rmi", "-f", "second")
    for _ in range(2):
        engine.docker("start", "holder")
        assert engine.docker("wait", "holder").stdout == "0\n"
    engine.docker("rm", "holder")
    views = [p for p in (engine.data_root / "snapshots" / "views").glob("*")]
    assert views == []


def test_an_image_that_is_not_there_is_named(engine: EngineUnderTest) -> None:
    message = run(engine, "--mount", "type=image,src=nosuch,dst=/img", "true", fails=True)
    assert "No such image: nosuch:latest" in message


# --volumes-from, rm -v


def test_volumes_from_with_its_mode(engine: EngineUnderTest, directory: Path) -> None:
    binds = ("-v", "/anonymous", "-v", f"{directory}:/b", "--tmpfs", "/t")
    engine.docker("run", "-d", "--name", "donor", *binds, "busybox", "sleep", "100")
    script = "for d in /anonymous /b; do touch $d/f 2>/dev/null && echo $d; done; true"
    assert run(engine, "--volumes-from", "donor", script).split() == ["/anonymous", "/b"]
    assert run(engine, "--volumes-from", "donor:ro", script) == ""
    engine.docker("rm", "-f", "donor")
    (left,) = engine.docker("volume", "ls", "-q").stdout.split()
    assert stat.S_ISDIR(os.stat(engine.data_root / "volumes" / left / "_data").st_mode)


def test_what_was_mounted_is_free_when_rm_returns(engine: EngineUnderTest, directory: Path) -> None:
    """No mount namespace holds it any more, nor is a cgroup left: the clean-up was awaited."""
    identifier = engine.docker("run", "-dv", f"{directory}:/x", "busybox", "sleep", "60").stdout
    engine.docker("rm", "-f", identifier.strip())
    assert not [path for path in engine.cgroups() if identifier.strip() in path]


def test_rm_v_takes_anonymous_volumes_only(engine: EngineUnderTest) -> None:
    engine.docker("create", "--name", "first", "-v", "/anonymous", "-v", "named:/n", "busybox")
    engine.docker("rm", "-v", "first")
    assert engine.docker("volume", "ls", "-q").stdout.split() == ["named"]
    # A volume that was anonymous for the first, and is used by a second, stays.
    engine.docker("run", "--name", "first", "-v", "/anonymous", "busybox")
    engine.docker("create", "--name", "second", "--volumes-from", "first", "busybox")
    engine.docker("rm", "-v", "first")
    assert len(engine.docker("volume", "ls", "-q").stdout.split()) == 2
