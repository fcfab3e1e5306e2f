import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cutaway import linux
from cutaway.linux import AT, RENAME, inotify, sockets
from cutaway.linux.abi import IN


def test_owner_mode_and_times_change_through_a_descriptor_that_only_names(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    fd = os.open(path, os.O_PATH)
    linux.fchownat(fd, "", 1234, -1, AT.EMPTY_PATH)
    linux.utimensat(fd, "", 5_000_000_007, -1_500_000_000, AT.EMPTY_PATH)
    linux.fchmodat2(fd, "", 0o640, AT.EMPTY_PATH)
    os.close(fd)
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (1234, 0)
    assert (status.st_atime_ns, status.st_mtime_ns) == (5_000_000_007, -1_500_000_000)
    assert stat.S_IMODE(status.st_mode) == 0o640


def test_a_link_itself_is_changed_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    directory = os.open(tmp_path, os.O_PATH)
    linux.fchownat(directory, "link", 7, 8, AT.SYMLINK_NOFOLLOW)
    linux.utimensat(directory, "link", 1, 2)
    os.close(directory)
    assert (tmp_path / "link").lstat().st_uid == 7
    assert (tmp_path / "link").lstat().st_mtime_ns == 2
    assert (tmp_path / "target").stat().st_uid == 0


def test_mode_of_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    directory = os.open(tmp_path, os.O_PATH)
    with pytest.raises(linux.KernelError, match=r'fchmodat2\(\d+, "link", 0644, SYMLINK_NOF'):
        linux.fchmodat2(directory, "link", 0o644, AT.SYMLINK_NOFOLLOW)
    os.close(directory)


def test_device_nodes_are_made(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    linux.mknodat(directory, "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with pytest.raises(linux.KernelError, match='mknodat.*"null".*File exists'):
        linux.mknodat(directory, "null", stat.S_IFIFO | 0o600)
    os.close(directory)
    assert (tmp_path / "null").stat().st_rdev == os.makedev(1, 3)


def test_an_unnamed_file_gets_its_name_by_link(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    fd = linux.openat2(directory, ".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"whole")
    linux.linkat(fd, "", directory, "named", AT.EMPTY_PATH)
    with pytest.raises(linux.KernelError) as error:
        linux.linkat(fd, "", directory, "named", AT.EMPTY_PATH)
    assert error.value.errno == errno.EEXIST
    linux.syncfs(fd)
    os.close(fd)
    os.close(directory)
    assert (tmp_path / "named").read_bytes() == b"whole"


def test_rename_never_replaces_when_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    directory = os.open(tmp_path, os.O_PATH)
    with pytest.raises(linux.KernelError, match="File exists"):
        linux.renameat2(directory, "a", directory, "b", RENAME.NOREPLACE)
    linux.renameat2(directory, "a", directory, "b", RENAME.EXCHANGE)
    os.close(directory)
    assert (tmp_path / "a").read_text() == "b"


def test_openat2_is_close_on_exec_and_creates_with_the_mode(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    fd = linux.openat2(directory, "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    os.close(directory)
    assert not os.get_inheritable(fd)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o640
    os.close(fd)


def test_extended_attributes_by_descriptor(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR, 0o600)
    linux.fsetxattr(fd, "user.cutaway", b"value")
    assert linux.fgetxattr(fd, "user.cutaway") == b"value"
    assert linux.flistxattr(fd) == ["user.cutaway"]
    linux.fremovexattr(fd, "user.cutaway")
    with pytest.raises(linux.KernelError, match="fgetxattr.*No data available"):
        linux.fgetxattr(fd, "user.cutaway")
    with pytest.raises(linux.KernelError, match="fremovexattr"):
        linux.fremovexattr(fd, "user.cutaway")
    os.close(fd)
    with pytest.raises(linux.KernelError, match="flistxattr"):
        linux.flistxattr(fd)


def test_a_bad_memfd_name_is_refused() -> None:
    with pytest.raises(linux.KernelError, match="memfd_create"):
        linux.memfd_create("x" * 300)


def test_identity_of_a_regular_file(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    identity = linux.identify(fd)
    os.close(fd)
    status = tmp_path.stat()
    assert identity.inode == status.st_ino
    assert identity.filesystem == (os.major(status.st_dev), os.minor(status.st_dev))
    assert stat.S_ISDIR(identity.mode)
    assert not identity.is_mount_root
    with pytest.raises(linux.KernelError, match="Bad file descriptor"):
        linux.identify(10_000_000)


def test_a_terminal_is_opened_by_descriptor() -> None:
    """CVE-2025-52565: /dev/pts/N is never opened by name."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    linux.unlock_pty(master)
    slave = linux.open_pty_peer(master)
    assert os.ttyname(slave) == f"/dev/pts/{linux.pty_number(master)}"
    assert os.major(os.fstat(slave).st_rdev) == 136
    assert not os.get_inheritable(slave)
    linux.set_window_size(master, 33, 77)
    assert os.get_terminal_size(slave) == (77, 33)
    pid = linux.fork()
    if pid == 0:
        os.setsid()
        linux.set_controlling_terminal(slave)
        os._exit(0 if os.open("/dev/tty", os.O_RDWR) >= 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    os.close(master)
    os.close(slave)


def test_a_terminal_call_on_a_file_is_refused(tmp_path: Path) -> None:
    with (
        open(tmp_path / "file", "w") as file,
        pytest.raises(linux.KernelError, match=r"ioctl\(\d+, TIOCGPTPEER\): Inappropriate ioctl"),
    ):
        linux.open_pty_peer(file.fileno())


def test_descriptors_pass_and_are_close_on_exec() -> None:
    """socket.recv_fds ignores its flags: what it receives leaks into the next program."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_fd, write_fd = os.pipe()
    assert sockets.send_fds(left, b"two", [read_fd, write_fd]) == 3
    data, fds = sockets.recv_fds(right, 100)
    assert data == b"two"
    assert [os.get_inheritable(fd) for fd in fds] == [False, False]
    os.write(fds[1], b"!")
    assert os.read(read_fd, 1) == b"!"
    sockets.send_fds(left, b"none", [])
    assert sockets.recv_fds(right, 100) == (b"none", [])
    left.close()
    assert sockets.recv_fds(right, 100) == (b"", [])
    right.close()
    for fd in (read_fd, write_fd, *fds):
        os.close(fd)


def test_too_many_descriptors_are_refused_and_closed() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = len(os.listdir("/proc/self/fd"))
    sockets.send_fds(left, b"x", [0, 0, 0, 0])
    with pytest.raises(ValueError, match="more than 100 bytes or 2 descriptors"):
        sockets.recv_fds(right, 100, max_fds=2)
    assert len(os.listdir("/proc/self/fd")) == before
    left.close()
    right.close()


def test_the_peer_is_known() -> None:
    left, right = socket.socketpair()
    assert sockets.peer_credentials(left) == (os.getpid(), os.getuid(), os.getgid())
    left.close()
    right.close()


def test_changes_of_a_directory_are_told(tmp_path: Path) -> None:
    fd = inotify.inotify_init()
    watch = inotify.inotify_add_watch(fd, str(tmp_path), IN.CREATE | IN.MOVED_TO | IN.ONLYDIR)
    assert inotify.inotify_read(fd) == []
    (tmp_path / "new").touch()
    (event,) = inotify.inotify_read(fd)
    assert (event.wd, event.mask, event.name) == (watch, IN.CREATE, "new")
    inotify.inotify_rm_watch(fd, watch)
    assert inotify.inotify_read(fd)[0].mask == IN.IGNORED
    with pytest.raises(linux.KernelError, match="inotify_rm_watch"):
        inotify.inotify_rm_watch(fd, watch)
    os.close(fd)


SPREAD = """
import sys
from cutaway.linux import storage
for _ in range(2):
    storage.spread_out(sys.argv[1])
"""


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_directories_are_spread_out_where_the_file_system_can(tmp_path: Path, kind: str) -> None:
    disk, place = tmp_path / "disk", tmp_path / "place"
    place.mkdir()
    disk.touch()
    os.truncate(disk, 4 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    options = "-o loop" if kind == "ext4" else ""
    script = f"""
        mount -t {kind} {options} {disk} {place} && {sys.executable} -c '{SPREAD}' {place}
        lsattr -d {place}
    """
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    done = subprocess.run(private, capture_output=True, text=True, check=False)
    assert ("T" in done.stdout.partition(" ")[0]) is (kind == "ext4"), done
    assert "Error" not in done.stderr
