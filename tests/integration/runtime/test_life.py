"""A container's life: made, run, entered, signalled, deleted; failures leave nothing."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cutaway import linux
from cutaway.oci.runtime_spec import Memory, Pids, Resources
from cutaway.runtime import (
    Container,
    Extensions,
    RootfsMount,
    RuntimeFailure,
    Status,
    Stdio,
    WrongStatus,
)
from cutaway.security.capabilities import ALL_CAPABILITIES
from support.bundles import Bundle, make_config, mounts


def test_exit_code_and_output_of_the_program(bundle: Bundle) -> None:
    result = bundle.run(make_config("sh", "-c", "echo hello from $(hostname); exit 7"))
    assert result.error is None
    assert (result.exit_code, result.signal) == (7, None)
    assert result.output == "hello from box\n"
    assert result.failures == []


def test_signal_that_ends_the_program_is_reported(bundle: Bundle) -> None:
    def during(container: Container) -> None:
        container.kill(signal.SIGKILL)

    result = bundle.run(make_config("sleep", "100"), during=during)
    assert (result.exit_code, result.signal) == (None, signal.SIGKILL)


def test_records_name_every_step_of_host_and_init(bundle: Bundle) -> None:
    result = bundle.run(make_config("true"))
    kinds = {record.kind for record in result.records}
    assert {"CreateCgroup", "MakeInit", "MountRootfs", "PivotRoot", "SetCapabilities"} <= kinds
    assert {record.actor for record in result.records} == {"maker", "stem", "init"}
    assert [r.started_ns for r in result.records] == sorted(r.started_ns for r in result.records)
    assert all(record.duration_ns < 10**9 for record in result.records)


def run_in(container: Container, *args: str, **changes: Any) -> tuple[int | None, str]:
    """Exec in a running container; return its exit code and output."""
    output = os.memfd_create("exec")
    null = os.open("/dev/null", os.O_RDWR)
    extensions = changes.pop("extensions", None)
    process = {
        "cwd": changes.pop("cwd", "/"),
        "args": list(args),
        "env": ["PATH=/bin:/usr/bin", "A=b"],
        **changes,
    }
    made = container.exec_process(process, Stdio(null, output, output), extensions=extensions)
    code, _ = linux.waitid_pidfd(linux.pidfd_open(made.pid)) or (None, None)
    os.lseek(output, 0, os.SEEK_SET)
    return code, os.read(output, 65536).decode()


def test_exec_joins_every_namespace_and_cgroup(bundle: Bundle) -> None:
    script = "cd /proc/self; for n in mnt pid net uts ipc; do readlink ns/$n; done; cat cgroup"
    every = list(ALL_CAPABILITIES)
    capabilities = {"bounding": every, "effective": every, "permitted": every}

    def during(container: Container) -> Any:
        of_init = script.replace("/proc/self", "/proc/1")
        return (
            run_in(container, "sh", "-c", of_init, capabilities=capabilities),
            run_in(container, "sh", "-c", script),
            run_in(container, "sh", "-c", "exit 9"),
        )

    (_, of_init), (_, of_exec), (code, _) = bundle.run(
        make_config("sleep", "1"), during=during
    ).more
    assert of_exec == of_init
    hierarchies = Path("/proc/self/cgroup").read_text().splitlines()
    assert len(of_exec.splitlines()) == 5 + len(hierarchies)
    assert code == 9


def test_exec_of_a_missing_program_says_so_in_runcs_words(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        try:
            run_in(container, "nothere")
        except RuntimeFailure as failure:
            return str(failure), failure.exit_code
        return None

    text, code = bundle.run(make_config("sleep", "0.3"), during=during).more
    assert text == (
        "OCI runtime exec failed: exec failed: unable to start container process: "
        'exec: "nothere": executable file not found in $PATH'
    )
    assert code == 127


def test_exec_as_a_user_by_name(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        return run_in(
            container, "sh", "-c", "id; echo $HOME; pwd", cwd="/tmp",
            extensions=Extensions(user="www"),
        )  # fmt: skip

    code, output = bundle.run(make_config("sleep", "0.3"), during=during).more
    assert code == 0
    assert output.splitlines() == [
        "uid=33(www) gid=33(www) groups=4(adm),33(www)", "/var/www", "/tmp"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("nothere", 127, 'exec: "nothere": executable file not found in $PATH'),
        ("/no/such", 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
        (
            "/etc/passwd",
            126,
            'exec: "/etc/passwd": permission denied: '
            "/etc/passwd lacks the execute permission: chmod +x it in the image",
        ),
        ("/tmp", 126, 'exec: "/tmp": is a directory'),
    ],
)
def test_a_program_that_cannot_run(bundle: Bundle, name: str, code: int, text: str) -> None:
    result = bundle.run(make_config(name))
    assert isinstance(result.error, RuntimeFailure)
    assert str(result.error) == (
        "OCI runtime create failed: unable to start container process: "
        f"error during container init: {text}"
    )
    assert result.error.exit_code == code
    assert result.error.category == "InvalidParameter"


def test_a_script_without_its_interpreter_names_it(bundle: Bundle) -> None:
    script = bundle.rootfs / "bin" / "tool"
    script.write_text("#!/usr/bin/python9 -u\n")
    script.chmod(0o755)
    error = bundle.run(make_config("tool")).error
    assert isinstance(error, RuntimeFailure)
    assert error.exit_code == 127
    assert error.hint == "/bin/tool needs /usr/bin/python9, which the image does not have"


def test_a_program_of_another_architecture_names_it(bundle: Bundle) -> None:
    data = bytearray((bundle.rootfs / "bin" / "busybox").read_bytes()[:4096])
    data[18:20] = (183).to_bytes(2, "little")
    (bundle.rootfs / "bin" / "arm").write_bytes(data)
    (bundle.rootfs / "bin" / "arm").chmod(0o755)
    error = bundle.run(make_config("arm")).error
    assert isinstance(error, RuntimeFailure)
    assert error.exit_code == 126
    assert error.message.endswith("exec /bin/arm: exec format error")
    assert "/bin/arm is built for arm64, this machine is amd64 and has no emulator" in error.hint


def test_an_unknown_user_is_named_and_nothing_is_left(bundle: Bundle) -> None:
    result = bundle.run(make_config("true"), extensions=Extensions(user="nobody9"))
    assert str(result.error) == "unable to find user nobody9: no matching entries in passwd file"


def test_a_missing_bind_source_names_it_and_nothing_is_left(bundle: Bundle) -> None:
    config = make_config("true")
    config["mounts"].append(
        {"destination": "/data", "type": "bind", "source": "/no/such/dir", "options": ["rbind"]}
    )
    error = bundle.run(config).error
    assert isinstance(error, RuntimeFailure)
    assert (error.stage, error.errno) == ("sources", 2)
    assert '"/no/such/dir"' in str(error)
    assert error.call.startswith("open_tree(")


def test_a_directory_on_a_file_gives_dockers_hint(bundle: Bundle) -> None:
    config = make_config("true")
    config["mounts"].append(
        {"destination": "/etc/passwd", "type": "bind", "source": "/tmp", "options": ["rbind"]}
    )
    error = bundle.run(config).error
    assert "Are you trying to mount a directory onto a file (or vice-versa)?" in str(error)


def test_a_limit_that_the_kernel_refuses_undoes_everything(bundle: Bundle) -> None:
    config = make_config("true", linux_resources={"cpu": {"cpus": "4000-4001"}})
    error = bundle.run(config).error
    assert isinstance(error, RuntimeFailure)
    assert "cpuset.cpus" in str(error)


def test_a_memory_limit_too_low_to_start_is_explained(bundle: Bundle) -> None:
    config = make_config("true", linux_resources={"memory": {"limit": 4096 * 8}})
    result = bundle.run(config)
    if result.error is not None:
        assert "memory limit too low" in str(result.error)
    else:
        assert result.signal == signal.SIGKILL


def test_terminal_is_the_containers_own(bundle: Bundle) -> None:
    config = make_config("sh", "-c", "tty; stty size; ls -l /dev/console; readlink /proc/self/fd/1")
    config["process"] |= {"terminal": True, "consoleSize": {"height": 24, "width": 80}}
    result = bundle.run(config, terminal=True)
    lines = result.output.splitlines()
    assert lines[0] == "/dev/pts/0"
    assert lines[1] == "24 80"
    assert lines[2].startswith("crw--w----") or lines[2].startswith("crw-------")
    assert lines[3] == "/dev/pts/0"


def test_oom_kills_are_counted(bundle: Bundle) -> None:
    def during(container: Container) -> int:
        time.sleep(0.1)
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while not (container.oom_kill_count() or linux.waitid_pidfd(container.pidfd, look)):
            time.sleep(0.01)
        return container.oom_kill_count()

    limits = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    config = make_config("sh", "-c", "tail /dev/zero", linux_resources=limits)
    result = bundle.run(config, during=during)
    assert result.more >= 1


def test_freeze_stops_and_thaw_goes_on(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        container.freeze()
        before = container.statistics().cpu.usage_ns
        time.sleep(0.1)
        after = container.statistics().cpu.usage_ns
        container.thaw()
        time.sleep(0.05)
        later = container.statistics().cpu.usage_ns
        container.kill(signal.SIGKILL)
        return before, after, later

    config = make_config("sh", "-c", "while :; do :; done")
    before, after, later = bundle.run(config, during=during).more
    assert after - before < 20_000_000
    assert later > after


def test_update_changes_limits_of_the_living(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        resources = Resources(memory=Memory(limit=64 << 20, swap=64 << 20), pids=Pids(99))
        container.update(resources)
        container.update(Resources(memory=Memory(limit=128 << 20, swap=128 << 20)))
        statistics = container.statistics()
        return statistics.memory.limit_bytes, statistics.pids.limit

    config = make_config(
        "sleep", "0.2", linux_resources={"memory": {"limit": 32 << 20, "swap": 32 << 20}}
    )
    assert bundle.run(config, during=during).more == (128 << 20, 99)


def test_shared_pid_namespace_leaves_no_process(bundle: Bundle) -> None:
    config = make_config("sh", "-c", "sleep 1000 & echo $!")
    config["linux"]["namespaces"] = [{"type": t} for t in ("mount", "network", "uts", "ipc")]
    result = bundle.run(config)
    assert result.exit_code == 0
    assert result.failures == []
    with (
        contextlib.suppress(FileNotFoundError),
        open(f"/proc/{result.output.strip()}/stat") as file,
    ):
        assert file.read().split()[2] in "ZX"


def test_operations_in_the_wrong_state_are_conflicts(bundle: Bundle) -> None:
    def during(container: Container) -> Any:
        texts = [str(container.status)]
        for operation in (container.start, container.delete):
            try:
                operation()
            except WrongStatus as error:
                texts.append(str(error))
        return texts

    texts = bundle.run(make_config("sleep", "0.1"), during=during).more
    assert texts == [
        Status.RUNNING,
        "cannot start an already running container",
        f"cannot delete container {bundle.id}: it is running",
    ]


def test_overlay_is_mounted_inside_only(bundle: Bundle, tmp_path: Any) -> None:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    options = [
        f"lowerdir={bundle.rootfs}",
        f"upperdir={tmp_path}/upper",
        f"workdir={tmp_path}/work",
    ]
    document = {
        "version": 1,
        "mounts": [{"fstype": "overlay", "source": "overlay", "options": options}],
    }

    def during(container: Container) -> str:
        with open("/proc/self/mountinfo") as file:
            return file.read()

    config = make_config("sh", "-c", "echo new > /written; sleep 0.1")
    result = bundle.run(config, extensions=Extensions.from_json(document), during=during)
    assert result.exit_code == 0
    assert str(tmp_path) not in result.more
    assert (tmp_path / "upper" / "written").read_text() == "new\n"


def test_new_user_namespace_maps_root(bundle: Bundle) -> None:
    os.chmod(bundle.path, 0o755)
    for directory, _, files in os.walk(bundle.rootfs):
        os.lchown(directory, 100000, 100000)
        for name in files:
            os.lchown(os.path.join(directory, name), 100000, 100000)
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    script = "id -u; cat /proc/self/uid_map; ls -l /dev/null; echo x > /new; sleep 0.3"
    config = make_config("sh", "-c", script)
    config["linux"] |= {"uidMappings": maps, "gidMappings": maps}
    config["linux"]["namespaces"].append({"type": "user"})

    def during(container: Container) -> Any:
        return run_in(container, "id", "-u")

    result = bundle.run(config, during=during)
    assert result.error is None, result.error
    lines = result.output.splitlines()
    assert lines[0] == "0"
    assert lines[1].split() == ["0", "100000", "65536"]
    assert "1,   3" in lines[2]
    assert (bundle.rootfs / "new").stat().st_uid == 100000
    assert result.more == (0, "0\n")


def test_namespaces_are_joined_by_path(bundle: Bundle) -> None:
    pid = linux.fork()
    if pid == 0:
        linux.unshare(linux.CLONE.NEWNET | linux.CLONE.NEWUTS | linux.CLONE.NEWIPC)
        linux.sethostname("joined")
        time.sleep(30)
        os._exit(0)
    try:
        time.sleep(0.1)
        names = {"network": "net", "uts": "uts", "ipc": "ipc"}
        expected = [os.readlink(f"/proc/{pid}/ns/{name}") for name in names.values()]
        config = make_config(
            "sh", "-c", "hostname; for n in net uts ipc; do readlink /proc/self/ns/$n; done"
        )
        del config["hostname"]
        config["linux"]["namespaces"] = [
            {"type": "mount"}, {"type": "pid"},
            *({"type": kind, "path": f"/proc/{pid}/ns/{name}"} for kind, name in names.items()),
        ]  # fmt: skip
        result = bundle.run(config)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert result.error is None, result.error
    assert result.output.splitlines() == ["joined", *expected]


def test_pid_namespace_is_joined_by_path(bundle: Bundle) -> None:
    pid, pidfd = linux.clone3(linux.CLONE.NEWPID)
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    try:
        expected = os.readlink(f"/proc/{pid}/ns/pid")
        config = make_config("sh", "-c", "echo $$; readlink /proc/self/ns/pid")
        config["linux"]["namespaces"] = [
            {"type": t} for t in ("mount", "network", "uts", "ipc")
        ] + [{"type": "pid", "path": f"/proc/{pid}/ns/pid"}]
        result = bundle.run(config)
    finally:
        linux.pidfd_send_signal(pidfd, signal.SIGKILL)
        linux.waitid_pidfd(pidfd)
    assert result.error is None, result.error
    number, name = result.output.split()
    assert int(number) > 1
    assert name == expected


def test_time_offsets_shift_the_clocks(bundle: Bundle) -> None:
    config = make_config("cat", "/proc/uptime")
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    result = bundle.run(config)
    assert result.error is None, result.error
    assert float(result.output.split()[0]) > 1000000


def test_tmpfs_takes_the_mode_of_the_directory_it_covers(bundle: Bundle) -> None:
    config = make_config("stat", "-c", "%a", "/tmp", "/var/www")
    config["mounts"] += [
        {"destination": d, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}
        for d in ("/tmp", "/var/www")
    ]
    assert bundle.run(config).output.split() == ["1777", "755"]


def test_volume_is_filled_from_the_image_once(bundle: Bundle, tmp_path: Any) -> None:
    (bundle.rootfs / "data" / "sub").mkdir(parents=True)
    (bundle.rootfs / "data" / "file").write_text("from the image")
    os.chown(bundle.rootfs / "data" / "file", 33, 33)
    (bundle.rootfs / "data" / "sub" / "link").symlink_to("/etc/passwd")
    volume = tmp_path / "volume"
    volume.mkdir()
    config = make_config("sh", "-c", "cat /data/file; echo changed > /data/file")
    config["mounts"] = [*mounts(), {
        "destination": "/data", "type": "bind", "source": str(volume),
        "options": ["rbind", "copy-up"],
    }]  # fmt: skip
    first, second = bundle.run(config), bundle.run(config)
    assert (first.output, second.output) == ("from the image", "changed\n")
    assert (volume / "file").stat().st_uid == 33
    assert os.readlink(volume / "sub" / "link") == "/etc/passwd"


def test_shared_root_propagates_inside_only(bundle: Bundle) -> None:
    script = "while read a b c d e f g; do [ $e = / ] && echo $g; done < /proc/self/mountinfo"
    config = make_config("sh", "-c", script, linux_rootfsPropagation="shared")
    assert bundle.run(config).output.startswith("shared:")


def with_reaper(bundle: Bundle) -> Extensions:
    mount = RootfsMount("bind", str(bundle.rootfs), ("bind",))
    return Extensions(mounts=(mount,), init=True)


def test_reaper_forwards_signals_and_ends_as_the_program(bundle: Bundle) -> None:
    def during(container: Container) -> None:
        time.sleep(0.2)
        container.kill(signal.SIGTERM)

    script = "trap 'exit 5' TERM; while :; do sleep 0.05; done"
    extensions = with_reaper(bundle)
    result = bundle.run(make_config("sh", "-c", script), extensions=extensions, during=during)
    assert (result.exit_code, result.signal) == (5, None)
    result = bundle.run(make_config("sleep", "60"), extensions=extensions, during=during)
    assert result.exit_code == 143


def test_reaper_leaves_no_zombie(bundle: Bundle) -> None:
    script = "(sleep 0.01 &); sleep 0.2; ps -o pid,stat,comm; echo $$"
    result = bundle.run(make_config("sh", "-c", script), extensions=with_reaper(bundle))
    assert " Z" not in result.output
    assert int(result.output.split()[-1]) > 1
    assert result.exit_code == 0


def test_program_below_a_reaper_that_cannot_run_is_explained(bundle: Bundle) -> None:
    script = bundle.rootfs / "bin" / "tool"
    script.write_text("#!/usr/bin/python9\n")
    script.chmod(0o755)
    error = bundle.run(make_config("tool"), extensions=with_reaper(bundle)).error
    assert isinstance(error, RuntimeFailure)
    assert error.exit_code == 127
    assert "/usr/bin/python9" in error.hint
