"""Each test performs an attack on the runtime; the canary outside must not notice.

The attacks are those of DESIGN section 7 and of the CVEs that each test names.
"""

import ctypes
import errno
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux.abi import CAP, MS
from cutaway.runtime import Container, Extensions, RuntimeFailure, Stdio
from cutaway.runtime.in_root import make_directory_in_root, make_file_in_root, open_in_root
from cutaway.runtime.seal import ImportSealed, seal_imports
from cutaway.runtime.steps import devices, paths
from cutaway.runtime.steps.mounts import (
    OpenNullDevice,
)
from support.bundles import FLAGS, Bundle, make_config, mounts


def bind(source: Path | str, destination: str, *options: str) -> dict[str, Any]:
    """Return a bind mount for config.json."""
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", *options],
    }


# -- trap 1: modules of the image -------------------------------------------------------------


def test_no_module_is_imported_from_the_image(bundle: Bundle) -> None:
    """The image brings its own ``warnings`` and a whole standard library of traps."""
    import sysconfig

    canary = bundle.path / "canary"
    trap = f"open({str(canary)!r}, 'w').write('as root'); import os; os._exit(99)\n"
    for path in (sysconfig.get_path("stdlib"), "/usr/lib/python3.11", "/work"):
        directory = bundle.rootfs / path.lstrip("/")
        (directory / "encodings").mkdir(parents=True)
        for name in ("warnings", "traceback", "linecache", "encodings/idna", "pwd", "subprocess"):
            (directory / f"{name}.py").write_text(trap)
    missing = bundle.run(make_config("no-such-program"))
    assert isinstance(missing.error, RuntimeFailure)
    assert missing.error.exit_code == 127
    assert bundle.run(make_config("true", process_cwd="/no/such/../x")).exit_code == 0
    assert not canary.exists()


def test_sealed_process_refuses_every_new_import() -> None:
    reader, writer = os.pipe()
    pid = linux.fork()
    if pid == 0:
        try:
            seal_imports()
            import wave  # noqa: F401 - nobody has loaded it before
        except ImportSealed as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    assert os.read(reader, 100) == b"import of 'wave' inside a container is forbidden"


# -- trap 2: signals --------------------------------------------------------------------------


def test_ignored_signals_and_masks_of_the_parent_do_not_reach_the_program(bundle: Bundle) -> None:
    def before() -> None:
        for number in (signal.SIGQUIT, signal.SIGINT, signal.SIGPIPE, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        ignore = (ctypes.c_ulong * 4)(1)  # the C library refuses to touch its own 32 and 33
        for number in (32, 33):
            ctypes.CDLL(None).syscall(13, number, ignore, None, 8)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})

    script = "grep -E '^Sig(Ign|Blk|Cgt)' /proc/self/status"
    result = bundle.run(
        make_config("grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"), before=before
    )
    assert result.output.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16], script


# -- trap 3: looking into the init; descriptors -------------------------------------------------


LOOKS = 50
SYS_KCMP = {"x86_64": 312, "aarch64": 272}[os.uname().machine]
KCMP_FILES = 2


def test_entering_process_cannot_be_looked_into(bundle: Bundle) -> None:
    """CVE-2019-5736: a hostile init waits for an exec and opens its /proc/PID/exe."""
    script = (
        "while :; do for p in /proc/[0-9]*; do "
        "[ $p = /proc/1 ] && continue; [ $p = /proc/$$ ] && continue; "
        "e=$(readlink $p/exe 2>/dev/null); case $e in *python*) echo SEEN $e;; esac; "
        "done; done"
    )

    def during(container: Container) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        for look in range(LOOKS):
            if look % 2:
                container.prepare_exec()
            process = {"cwd": "/", "args": ["/bin/true"]}
            made = container.exec_process(process, Stdio(null, null, null))
            linux.waitid_pidfd(linux.pidfd_open(made.pid))
        container.kill(signal.SIGKILL)

    result = bundle.run(make_config("sh", "-c", script), during=during)
    assert result.error is None
    assert "SEEN" not in result.output


def kcmp_without_ptrace(pid: int) -> int:
    """Ask kcmp(2) about a process with as many rights as ours; return its errno, 0 for an answer.

    The one right that is not in effect, CAP_SYS_PTRACE, is what an undumpable process asks for.
    """
    child = linux.fork()
    if child == 0:
        own = linux.capget()
        linux.capset(own.effective & ~(1 << CAP.SYS_PTRACE), own.permitted, own.inheritable)
        kcmp = ctypes.CDLL(None, use_errno=True).syscall
        answer = kcmp(SYS_KCMP, os.getpid(), pid, KCMP_FILES, 0, 0)
        os._exit(ctypes.get_errno() if answer < 0 else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_init_is_undumpable_while_it_prepares(bundle: Bundle) -> None:
    from cutaway.runtime import probe_host_facts

    config = make_config("true")
    bundle.write(config)
    null = os.open("/dev/null", os.O_RDWR)
    container = Container.create(
        bundle.id, str(bundle.path), stdio=Stdio(null, null, null), facts=probe_host_facts()
    )
    try:
        container.wait_created()
        assert kcmp_without_ptrace(os.getpid()) == 0  # a dumpable process may be looked at
        assert kcmp_without_ptrace(container.pid) == errno.EPERM
    finally:
        assert container.abort() == []
        container.close()
        os.close(null)


def test_no_descriptor_of_the_host_reaches_the_program(bundle: Bundle) -> None:
    """CVE-2024-21626, CVE-2016-9962: a leaked directory descriptor is a way out."""

    def before() -> None:
        for _ in range(40):
            fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
            os.set_inheritable(fd, True)

    def during(container: Container) -> str:
        output = os.memfd_create("exec")
        null = os.open("/dev/null", os.O_RDWR)
        process = {"cwd": "/", "args": ["ls", "/proc/self/fd"], "env": ["PATH=/bin"]}
        made = container.exec_process(process, Stdio(null, output, output))
        linux.waitid_pidfd(linux.pidfd_open(made.pid))
        os.lseek(output, 0, os.SEEK_SET)
        return os.read(output, 1000).decode()

    script = "ls /proc/self/fd; sleep 0.3"
    result = bundle.run(make_config("sh", "-c", script), before=before, during=during)
    assert result.output.split() == ["0", "1", "2", "3"]  # 3 is the directory that ls reads
    assert result.more.split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize("number", range(3, 12))
def test_working_directory_by_a_leaked_descriptor_is_refused(bundle: Bundle, number: int) -> None:
    """CVE-2024-21626: ``WORKDIR /proc/self/fd/7`` with a host directory leaked as 7."""

    def before() -> None:
        for _ in range(12):
            os.set_inheritable(os.open("/", os.O_RDONLY | os.O_DIRECTORY), True)

    config = make_config("ls", "/work", process_cwd=f"/proc/self/fd/{number}")
    result = bundle.run(config, before=before)
    assert isinstance(result.error, RuntimeFailure)
    assert result.error.errno in (errno.ENOENT, errno.EXDEV, errno.ENOTDIR, errno.ELOOP)


def test_working_directory_outside_the_root_is_found_out() -> None:
    """A directory that is reachable, but not below the root, has no path: getcwd says so."""
    from cutaway.runtime.scope import InitScope
    from cutaway.runtime.steps.process import (
        EnterWorkingDirectory,
    )
    from cutaway.runtime.sync import make_sync_pair

    reader, writer = os.pipe()
    pid = linux.fork()
    if pid == 0:
        try:
            outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
            os.chroot("/proc")
            scope = InitScope(make_sync_pair()[1])
            EnterWorkingDirectory(path=f"/self/fd/{outside}", why="").apply(scope)
        except linux.KernelError as error:
            os.write(writer, error.hint.encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    assert b"outside of container mount namespace root" in os.read(reader, 1000)


# -- trap 4: paths of a hostile tree ------------------------------------------------------------


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory outside every root, which no attack may touch."""
    directory = tmp_path / "canary"
    directory.mkdir()
    (directory / "file").write_text("untouched")
    return directory


def untouched(canary: Path) -> bool:
    return sorted(os.listdir(canary)) == ["file"] and (canary / "file").read_text() == "untouched"


@pytest.mark.parametrize("link", ["absolute", "relative"])
def test_mount_target_link_stays_in_the_root(bundle: Bundle, canary: Path, link: str) -> None:
    """CVE-2018-15664 and its family: the target's parent is a link to the host."""
    up = "../" * 20 if link == "relative" else "/"
    (bundle.rootfs / "escape").symlink_to(f"{up}{str(canary).lstrip('/')}")
    config = make_config("sh", "-c", "echo hit > /escape/vol/new; ls /escape/vol")
    source = bundle.path / "source"
    source.mkdir()
    config["mounts"].append(bind(source, "/escape/vol"))
    result = bundle.run(config)
    assert result.error is None, result.error
    assert result.output == "new\n"
    assert (source / "new").exists()
    assert untouched(canary)


def test_missing_directories_are_not_made_on_the_host(bundle: Bundle, canary: Path) -> None:
    """CVE-2024-45310: mkdir -p through a link made empty directories on the host."""
    (bundle.rootfs / "a").symlink_to(canary)
    config = make_config("true")
    config["mounts"].append(
        {"destination": "/a/made/by/mkdir", "type": "tmpfs", "source": "tmpfs", "options": []}
    )
    assert bundle.run(config).exit_code == 0
    assert untouched(canary)


def test_working_directory_is_not_made_on_the_host(bundle: Bundle, canary: Path) -> None:
    """CVE-2026-55686: WORKDIR through a link."""
    (bundle.rootfs / "w").symlink_to(f"../../../../..{canary}")
    config = make_config("pwd", process_cwd="/w/deep/dir")
    assert bundle.run(config).exit_code == 0
    assert untouched(canary)


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_link_in_place_of_a_system_directory_is_refused(
    bundle: Bundle, canary: Path, name: str
) -> None:
    """CVE-2019-19921, CVE-2026-41579: the image ships /proc, /sys or /dev as a link."""
    os.rmdir(bundle.rootfs / name)
    (bundle.rootfs / "elsewhere").mkdir()
    (bundle.rootfs / name).symlink_to("/elsewhere")
    error = bundle.run(make_config("true")).error
    assert isinstance(error, RuntimeFailure)
    assert error.stage == "mounts"
    assert untouched(canary)


@pytest.mark.parametrize("target", ["/proc/sys/kernel", "/proc/self", "/proc/1/attr"])
def test_mounting_inside_proc_is_refused(bundle: Bundle, target: str) -> None:
    """CVE-2019-16884: a fake procfs file makes the runtime write to it."""
    config = make_config("true")
    config["mounts"].append(bind(bundle.rootfs, target))
    error = bundle.run(config).error
    assert isinstance(error, RuntimeFailure)
    assert "cannot be mounted because it is inside /proc" in str(error)


def test_mounting_inside_proc_by_a_link_is_refused(bundle: Bundle) -> None:
    (bundle.rootfs / "innocent").symlink_to("/proc/sys/kernel")
    config = make_config("true")
    config["mounts"].append(bind(bundle.rootfs, "/innocent"))
    error = bundle.run(config).error
    assert "is inside /proc" in str(error)


def test_an_lxcfs_file_may_cover_cpuinfo(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("one cpu\n")
    config = make_config("cat", "/proc/cpuinfo")
    config["mounts"].append(bind(tmp_path / "cpuinfo", "/proc/cpuinfo"))
    assert bundle.run(config).output == "one cpu\n"


class _Scope:
    """The part of an init's scope that path steps use."""

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self.null_fd = -1
        self.mask_tree = -1


def in_mount_namespace(action: Any) -> bytes:
    """Run ``action(write)`` in a child with private mounts, and return what it wrote."""
    reader, writer = os.pipe()
    pid = linux.fork()
    if pid == 0:
        try:
            linux.unshare(linux.CLONE.NEWNS)
            linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
            action(lambda text: os.write(writer, text.encode()))
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    data = os.read(reader, 65536)
    os.close(reader)
    return data


def test_null_device_replaced_by_a_link_is_refused(tmp_path: Path) -> None:
    """CVE-2025-31133: /dev/null is a link to a procfs file when masks are made."""

    def attack(write: Any) -> None:
        linux.mount("tmpfs", "/dev", "tmpfs", MS(0))
        os.symlink("/proc/sys/kernel/core_pattern", "/dev/null")
        OpenNullDevice(why="").apply(_Scope(-1))  # type: ignore[arg-type]
        write("no error")

    assert b"Too many levels of symbolic links" in in_mount_namespace(attack) or (
        b"not the null device" in in_mount_namespace(attack)
    )


def test_null_device_replaced_by_a_file_is_refused() -> None:
    def attack(write: Any) -> None:
        linux.mount("tmpfs", "/dev", "tmpfs", MS(0))
        Path("/dev/null").write_text("")
        OpenNullDevice(why="").apply(_Scope(-1))  # type: ignore[arg-type]
        write("no error")

    assert b"it is not the null device 1:3" in in_mount_namespace(attack)


def test_a_mask_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A path left open because its mask failed is what CVE-2025-31133 was about."""
    (tmp_path / "secret").write_text("x")

    def attack(write: Any) -> None:
        scope = _Scope(os.open(tmp_path, os.O_PATH))
        scope.null_fd = os.open(tmp_path, os.O_PATH)  # a directory on a file can't be mounted
        paths.MaskPath(path="/secret", why="").apply(scope)  # type: ignore[arg-type]
        write("no error")

    assert b"KernelError: move_mount(" in in_mount_namespace(attack)


def test_console_that_is_no_pty_is_refused(tmp_path: Path) -> None:
    """CVE-2025-52565: what is bound to /dev/console must be a pty of devpts."""
    fd = os.open("/dev/null", os.O_RDWR)
    with pytest.raises(linux.KernelError, match="not a pty"):
        devices._check_pty(fd)
    os.close(fd)


def test_image_ptmx_link_is_not_followed(bundle: Bundle, canary: Path) -> None:
    """CVE-2025-52565: without a devpts of its own the image could name any file."""
    config = make_config("true")
    config["mounts"] = [m for m in mounts() if m["destination"] not in ("/dev", "/dev/pts")]
    config["process"]["terminal"] = True
    (bundle.rootfs / "dev" / "pts").mkdir()
    (bundle.rootfs / "dev" / "pts" / "ptmx").symlink_to(canary / "file")
    result = bundle.run(config, terminal=True)
    assert isinstance(result.error, RuntimeFailure)
    assert untouched(canary)


def test_sysctl_write_goes_to_the_kernel_not_to_a_fake(bundle: Bundle, tmp_path: Path) -> None:
    """CVE-2025-52881: the container's own /proc is a tmpfs with a look-alike."""
    fake = bundle.rootfs / "proc" / "sys" / "net" / "ipv4"
    fake.mkdir(parents=True)
    (fake / "ip_forward").write_text("fake")
    config = make_config("true", linux_sysctl={"net.ipv4.ip_forward": "1"})
    config["mounts"] = [m for m in mounts() if m["destination"] != "/proc"]

    def during(container: Container) -> str:
        fd = container.namespace_fd("network")
        linux.setns(fd, linux.CLONE.NEWNET)
        return Path("/proc/self/net/snmp").read_text()

    config["process"]["args"] = ["sleep", "0.2"]
    result = bundle.run(config, during=during)
    assert result.error is None, result.error
    assert (fake / "ip_forward").read_text() == "fake"
    forwarding = result.more.splitlines()[1].split()[1]
    assert forwarding == "1"


def test_exchange_of_a_mount_target_never_leaves_the_root(tmp_path: Path, canary: Path) -> None:
    """CVE-2021-30465: a neighbour exchanges a directory and a link while we resolve."""
    root = tmp_path / "root"
    (root / "vol" / "dir").mkdir(parents=True)
    (root / "vol" / "link").symlink_to(canary)
    pid = linux.fork()
    if pid == 0:
        try:
            while True:
                linux.renameat2(
                    -100, f"{root}/vol/dir", -100, f"{root}/vol/link", linux.RENAME.EXCHANGE
                )
        finally:
            os._exit(0)
    try:
        root_fd = os.open(root, os.O_PATH)
        forbidden = os.stat(canary).st_ino
        for number in range(3000):
            try:
                fd = make_directory_in_root(root_fd, f"/vol/dir/x{number % 7}")
            except (linux.KernelError, FileExistsError):
                continue
            path = os.readlink(f"/proc/self/fd/{fd}")
            os.close(fd)
            assert path.startswith(f"{root}/"), path
            assert os.stat(canary).st_ino == forbidden
        assert untouched(canary)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_absolute_links_inside_the_root_still_work(tmp_path: Path) -> None:
    """The fix must not break images: /var/run -> /run, also when /run is missing yet."""
    root = tmp_path / "root"
    (root / "var").mkdir(parents=True)
    (root / "var" / "run").symlink_to("/run")
    (root / "etc").mkdir()
    (root / "etc" / "mtab").symlink_to("../proc/mounts")
    root_fd = os.open(root, os.O_PATH)
    os.close(make_directory_in_root(root_fd, "/var/run/app"))
    assert (root / "run" / "app").is_dir()
    os.close(make_file_in_root(root_fd, "/var/run/app/file"))
    assert (root / "run" / "app" / "file").is_file()
    os.close(make_file_in_root(root_fd, "/etc/mtab"))
    assert (root / "proc" / "mounts").is_file()
    with pytest.raises(linux.KernelError):
        open_in_root(root_fd, "/../../../etc/shadow")


def test_magic_links_are_not_followed(bundle: Bundle, canary: Path) -> None:
    """A target below /proc/1/root would be the host's root before the pid namespace is ours."""
    config = make_config("true")
    config["mounts"].append(bind(canary, "/proc/1/root/tmp"))
    error = bundle.run(config).error
    assert isinstance(error, RuntimeFailure)
    assert untouched(canary)


# -- trap 5: seccomp and no_new_privs -----------------------------------------------------------


def test_seccomp_is_loaded_without_setting_no_new_privs(bundle: Bundle) -> None:
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}],
    }
    script = "mkdir /x; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status"
    result = bundle.run(make_config("sh", "-c", script, linux_seccomp=seccomp))
    assert "Cannot assign requested address" in result.output
    assert result.output.split()[-4:] == ["NoNewPrivs:", "0", "Seccomp:", "2"]


def test_no_new_privs_is_set_when_asked(bundle: Bundle) -> None:
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW"}
    config = make_config(
        "grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status",
        linux_seccomp=seccomp, process_noNewPrivileges=True,
    )  # fmt: skip
    assert bundle.run(config).output.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]


def test_strict_profile_needs_to_allow_only_the_programs_own_calls(bundle: Bundle) -> None:
    """What the init does after the filter is loaded: capset, read, write, execve."""
    names = [
        "execve", "read", "write", "capset", "exit_group", "brk", "arch_prctl", "mmap", "munmap",
        "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom", "mprotect",
        "readlink", "readlinkat", "getuid", "fstat", "newfstatat", "prctl", "ioctl", "rt_sigaction",
    ]  # fmt: skip
    seccomp = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }
    result = bundle.run(make_config("echo", "runs", linux_seccomp=seccomp))
    assert (result.error, result.output) == (None, "runs\n")


# -- traps 6 and 8: numbers of processes ----------------------------------------------------------


def take_number(pid: int) -> int:
    """Make a process with the number of one that has gone, as if all numbers had wrapped round."""
    for _ in range(500):  # somebody else on this machine may take it first
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        child = linux.fork()
        if child == 0:
            signal.pause()
        if child == pid:
            return child
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    raise AssertionError(f"{pid} is taken")


def test_a_signal_never_reaches_a_stranger_with_the_same_number(bundle: Bundle) -> None:
    from cutaway.runtime import probe_host_facts

    bundle.write(make_config("true"))
    null = os.open("/dev/null", os.O_RDWR)
    container = Container.create(
        bundle.id, str(bundle.path), stdio=Stdio(null, null, null), facts=probe_host_facts()
    )
    try:
        container.start()
        linux.waitid_pidfd(container.pidfd)
        stranger = take_number(container.pid)
        try:
            with pytest.raises(linux.KernelError, match="No such process"):
                container.kill(signal.SIGKILL)
            container.kill_all()
            container.mark_stopped()
            assert container.delete() == []
            assert os.waitpid(stranger, os.WNOHANG) == (0, 0)
        finally:
            os.kill(stranger, signal.SIGKILL)
            os.waitpid(stranger, 0)
    finally:
        container.close()
        os.close(null)


def test_an_exec_is_never_mistaken_for_a_process_of_the_container(bundle: Bundle) -> None:
    """The container makes processes as fast as it can, which look like the exec's own."""

    def during(container: Container) -> list[tuple[int | None, int | None] | None]:
        null = os.open("/dev/null", os.O_RDWR)
        ends = []
        for number in range(20):
            if number % 2:
                container.prepare_exec()
            process = {"cwd": "/", "args": ["/bin/sh", "-c", "exit 9"]}
            made = container.exec_process(process, Stdio(null, null, null))
            ends.append(linux.waitid_pidfd(linux.pidfd_open(made.pid)))
        container.kill(signal.SIGKILL)
        return ends

    result = bundle.run(
        make_config("/bin/sh", "-c", "while :; do /bin/sh -c 'exit 3'; done"), during=during
    )
    assert result.more == [(9, None)] * 20


# -- users, groups, devices -----------------------------------------------------------------------


def test_hostile_passwd_does_not_block_or_fill_memory(bundle: Bundle) -> None:
    (bundle.rootfs / "etc" / "passwd").unlink()
    os.mkfifo(bundle.rootfs / "etc" / "passwd")
    result = bundle.run(make_config("echo", "runs"), extensions=Extensions(user="0"))
    assert (result.error, result.output) == (None, "runs\n")


def test_passwd_link_to_the_host_is_read_in_the_root(bundle: Bundle, canary: Path) -> None:
    (canary.parent / "hostpasswd").write_text("evil:x:4242:4242::/:/bin/sh\n")
    (bundle.rootfs / "etc" / "passwd").unlink()
    (bundle.rootfs / "etc" / "passwd").symlink_to(f"../../../../../..{canary.parent}/hostpasswd")
    result = bundle.run(make_config("id", "-u"), extensions=Extensions(user="evil"))
    assert "unable to find user evil" in str(result.error)


def test_number_is_never_another_users_name(bundle: Bundle) -> None:
    """CVE-2016-3697: an image's user called "1000" has uid 77."""
    result = bundle.run(make_config("id", "-u"), extensions=Extensions(user="1000"))
    assert result.output == "1000\n"


def test_uid_beyond_31_bits_is_refused(bundle: Bundle) -> None:
    """CVE-2024-40635: 4294967296 wrapped to root."""
    result = bundle.run(make_config("id", "-u"), extensions=Extensions(user="4294967296"))
    assert str(result.error) == "uids and gids must be in range 0-2147483647"


def test_primary_group_is_among_the_groups(bundle: Bundle) -> None:
    """CVE-2022-36109: without it a deny entry for the group is escaped."""
    config = make_config("grep", "Groups", "/proc/self/status")
    result = bundle.run(
        config, extensions=Extensions(user="www:staff"), before=lambda: os.setgroups([0, 4])
    )
    assert result.output.split() == ["Groups:", "50"]  # and none of who made the container


def test_inheritable_and_ambient_sets_are_empty(bundle: Bundle) -> None:
    """CVE-2022-24769: an inheritable set lets a user regain capabilities by a file."""
    result = bundle.run(make_config("grep", "Cap", "/proc/self/status"))
    values = dict(line.split(":\t") for line in result.output.splitlines())
    assert values["CapInh"] == values["CapAmb"] == "0" * 16
    assert values["CapBnd"] == values["CapEff"] == values["CapPrm"] != "0" * 16


def test_user_without_root_has_no_capabilities(bundle: Bundle) -> None:
    config = make_config("grep", "Cap", "/proc/self/status")
    result = bundle.run(config, extensions=Extensions(user="www"))
    values = dict(line.split(":\t") for line in result.output.splitlines())
    assert values["CapEff"] == values["CapPrm"] == "0" * 16


@pytest.mark.parametrize(("kind", "major", "minor"), [("b", 254, 0), ("c", 1, 1), ("c", 10, 229)])
def test_made_device_cannot_be_opened(bundle: Bundle, kind: str, major: int, minor: int) -> None:
    """CAP_MKNOD lets a container make any node; the devices cgroup must stop the open."""
    script = f"mknod /tmp/node {kind} {major} {minor} && head -c 1 /tmp/node"
    result = bundle.run(make_config("sh", "-c", script))
    assert "Operation not permitted" in result.output


def test_cgroup_files_are_read_only(bundle: Bundle) -> None:
    """CVE-2022-0492: release_agent runs a host program as root."""
    script = "echo x > /sys/fs/cgroup/memory/release_agent; mkdir /sys/fs/cgroup/memory/x"
    result = bundle.run(make_config("sh", "-c", script))
    assert result.output.count("Read-only file system") >= 1
    assert result.exit_code != 0


def test_readonly_mount_stays_readonly_under_a_submount(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "below").mkdir(parents=True)
    linux.mount("tmpfs", str(source / "below"), "tmpfs", MS(0))
    try:
        config = make_config("sh", "-c", "touch /data/below/x")
        config["mounts"].append(bind(source, "/data", "rro"))
        assert "Read-only file system" in bundle.run(config).output
    finally:
        linux.umount2(str(source / "below"), linux.MNT.DETACH)


def test_environment_of_the_engine_does_not_reach_the_program(bundle: Bundle) -> None:
    os.environ["HTTP_PROXY"] = "http://secret@proxy"
    try:
        result = bundle.run(make_config("env"))
    finally:
        del os.environ["HTTP_PROXY"]
    assert sorted(result.output.split()) == ["HOME=/root", "PATH=/usr/local/bin:/usr/bin:/bin"]


def test_a_socket_of_the_host_is_not_reachable_by_an_abstract_name(bundle: Bundle) -> None:
    """CVE-2020-15257: abstract sockets belong to the network namespace; we open none."""
    listening = Path("/proc/net/unix").read_text()
    assert "@cutaway" not in listening
    assert socket.AF_UNIX


def test_masked_and_readonly_paths_hold(bundle: Bundle) -> None:
    script = (
        "cat /proc/interrupts | wc -c; cat /proc/keys | wc -c; ls /proc/acpi /sys/firmware | wc -w;"
        "echo 1 > /proc/sys/kernel/hostname; echo 1 > /proc/irq/default_smp_affinity"
    )
    result = bundle.run(make_config("sh", "-c", script))
    lines = result.output.splitlines()
    assert lines[:3] == ["0", "0", "2"]
    assert "Read-only file system" in lines[3]
    assert "Read-only file system" in lines[4]


def test_flags_of_a_private_mount_do_not_leak_to_the_host(bundle: Bundle, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    config = make_config("sh", "-c", "mount -t tmpfs tmpfs /data/inner; mount | grep -c inner")
    for name in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][name].append("CAP_SYS_ADMIN")
    (shared / "inner").mkdir()
    config["mounts"].append(bind(shared, "/data", "rprivate"))
    assert bundle.run(config).output == "1\n"
    assert "inner" not in Path("/proc/self/mountinfo").read_text()
    assert FLAGS
