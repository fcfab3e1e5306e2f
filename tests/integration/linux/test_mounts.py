import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux import AT, CLONE, FSCONFIG, MNT, MOUNT_ATTR, MOVE_MOUNT, MS, OPEN_TREE, RESOLVE

InChild = Callable[..., Any]


def mount_of(path: Path) -> str:
    """Return the mountinfo line of a mount point."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next(line for line in reversed(lines) if line.split()[4] == str(path))


def test_mount_and_umount(in_child: InChild, tmp_path: Path) -> None:
    def body() -> list[str]:
        linux.mount("tmpfs", str(tmp_path), "tmpfs", MS.NOSUID | MS.NODEV, "size=64k,mode=711")
        line = mount_of(tmp_path)
        linux.umount2(str(tmp_path), MNT.DETACH)
        return [line, str(tmp_path in map(Path, Path("/proc/self/mountinfo").read_text().split()))]

    line, still_there = in_child(CLONE.NEWNS, body)
    assert "nosuid,nodev" in line
    assert "size=64k,mode=711" in line
    assert still_there == "False"


def test_a_refused_mount_reads_like_strace() -> None:
    with pytest.raises(linux.KernelError) as error:
        linux.mount("proc", "/nonexistent", "proc", MS.NOSUID)
    assert str(error.value) == (
        'mount("proc", "/nonexistent", "proc", NOSUID, NULL): No such file or directory'
    )
    assert error.value.errno == errno.ENOENT


def test_a_refused_umount_names_the_target() -> None:
    with pytest.raises(linux.KernelError, match=r'umount2\("/proc/self", 0\): Invalid argument'):
        linux.umount2("/proc/self")


def test_a_path_with_nul_never_reaches_the_kernel() -> None:
    with pytest.raises(ValueError, match="embedded null byte"):
        linux.umount2("/tmp\0/..")


def test_a_file_system_is_configured_and_attached_by_descriptors(
    in_child: InChild, tmp_path: Path
) -> None:
    def body() -> str:
        context = linux.fsopen("tmpfs")
        linux.fsconfig(context, FSCONFIG.SET_STRING, "size", "128k")
        linux.fsconfig(context, FSCONFIG.CMD_CREATE)
        mount_fd = linux.fsmount(context, attr_flags=MOUNT_ATTR.NOEXEC)
        linux.attach_mount(mount_fd, os.open(tmp_path, os.O_PATH))
        picked = linux.fspick(linux.AT_FDCWD, str(tmp_path))
        linux.fsconfig(picked, FSCONFIG.SET_FLAG, "ro")
        linux.fsconfig(picked, FSCONFIG.CMD_RECONFIGURE)
        return mount_of(tmp_path)

    line = in_child(CLONE.NEWNS, body)
    assert "noexec" in line
    assert line.split(" - ")[1].startswith("tmpfs none ro,size=128k") or "ro," in line


def test_a_bad_option_is_explained_in_the_kernels_words() -> None:
    context = linux.fsopen("tmpfs")
    try:
        with pytest.raises(linux.KernelError) as error:
            linux.fsconfig(context, FSCONFIG.SET_STRING, "size", "much")
    finally:
        os.close(context)
    assert "tmpfs: Bad value for 'size'" in str(error.value)


def test_a_bind_mount_is_cloned_made_read_only_and_attached(
    in_child: InChild, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("x")

    def body() -> list[Any]:
        tree = linux.open_tree(os.open(source, os.O_PATH), "", linux.bind_flags(recursive=True))
        linux.mount_setattr(
            tree, "", AT.EMPTY_PATH | AT.RECURSIVE, attr_set=MOUNT_ATTR.RDONLY | MOUNT_ATTR.NODEV
        )
        linux.attach_mount(tree, os.open(target, os.O_PATH))
        try:
            (target / "file").write_text("y")
        except OSError as error:
            return [mount_of(target), error.errno]
        return [mount_of(target), 0]

    line, refused = in_child(CLONE.NEWNS, body)
    assert "ro,nodev" in line
    assert refused == errno.EROFS


def test_a_detached_mount_can_be_moved_by_name(in_child: InChild, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    def body() -> bool:
        flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC
        tree = linux.open_tree(linux.AT_FDCWD, str(tmp_path / "a"), flags)
        target = str(tmp_path / "b")
        linux.move_mount(tree, "", linux.AT_FDCWD, target, MOVE_MOUNT.F_EMPTY_PATH)
        return linux.identify(os.open(target, os.O_PATH)).is_mount_root

    assert in_child(CLONE.NEWNS, body)


def test_pivot_root_enters_a_new_root(in_child: InChild, tmp_path: Path) -> None:
    def body() -> list[str]:
        linux.mount("tmpfs", str(tmp_path), "tmpfs")
        (tmp_path / "inside").mkdir()
        os.chdir(tmp_path)
        linux.pivot_root(".", ".")
        linux.umount2(".", MNT.DETACH)
        os.chdir("/")
        return os.listdir("/")

    assert in_child(CLONE.NEWNS, body) == ["inside"]


def test_pivot_root_refuses_what_is_no_mount(in_child: InChild, tmp_path: Path) -> None:
    def body() -> int:
        try:
            linux.pivot_root(str(tmp_path), str(tmp_path))
        except linux.KernelError as error:
            return error.errno or 0
        return 0

    assert in_child(CLONE.NEWNS, body) == errno.EBUSY


def test_a_link_out_of_the_root_leads_inside_it(tmp_path: Path) -> None:
    """CVE-2018-15664, CVE-2026-42306: ``/link → /etc`` in an image must mean the image's /etc."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("from the image")
    (tmp_path / "absolute").symlink_to("/etc")
    (tmp_path / "relative").symlink_to("../../../../../../etc")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    for name in ("absolute", "relative", "../../etc", "/etc"):
        fd = linux.openat2(root, f"{name}/passwd", os.O_RDONLY, resolve=RESOLVE.IN_ROOT)
        with open(fd) as file:
            assert file.read() == "from the image"
    os.close(root)


def test_a_path_that_must_stay_beneath_is_refused_when_it_leaves(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(linux.KernelError, match="Invalid cross-device link"):
        linux.openat2(root, "out/passwd", os.O_RDONLY, resolve=RESOLVE.BENEATH)
    with pytest.raises(linux.KernelError, match="Too many levels of symbolic links"):
        linux.openat2(root, "out/passwd", os.O_RDONLY, resolve=RESOLVE.NO_SYMLINKS)
    os.close(root)


def test_a_magic_link_is_refused() -> None:
    root = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(linux.KernelError) as error:
        linux.openat2(root, "root", os.O_PATH, resolve=RESOLVE.NO_MAGICLINKS)
    os.close(root)
    assert error.value.errno == errno.ELOOP


def test_the_target_of_a_mask_is_known_by_descriptor(tmp_path: Path) -> None:
    """CVE-2025-31133: what is bound over a masked path must be the real null device."""
    (tmp_path / "null").symlink_to("/proc/sys/kernel/core_pattern")
    null = os.open("/dev/null", os.O_PATH)
    fake = os.open(tmp_path / "null", os.O_PATH)
    identity = linux.identify(null)
    assert (stat.S_ISCHR(identity.mode), identity.device) == (True, (1, 3))
    assert linux.identify(fake).device != (1, 3)
    os.close(null)
    os.close(fake)


def test_a_fake_proc_is_known_by_its_type(tmp_path: Path) -> None:
    """CVE-2025-52881: a write to /proc must go to a procfs."""
    for path, expected in (("/proc/self", True), (tmp_path, False)):
        fd = os.open(path, os.O_PATH)
        assert (linux.fstatfs_type(fd) == linux.FSMAGIC.PROC) is expected
        os.close(fd)
