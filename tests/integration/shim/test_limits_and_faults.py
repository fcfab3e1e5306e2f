"""Memory limits, full disks, users by name, overlay roots, rotated logs: in both runtimes."""

import json
import os
import subprocess
import time

import pytest

from cutaway.shim import protocol
from cutaway.shim.logs.reader import LogReader, ReadOptions
from cutaway.shim.protocol import LogSettings
from support.shims import make_config, receive_all, texts

MIB = 1 << 20


def test_an_oom_kill_is_told_from_other_kills(box):
    config = make_config(box.root, box.id, "sh", "-c", "yes 1234567 | tr -d '\\n' | sort")
    config["linux"]["resources"]["memory"] = {"limit": 24 * MIB, "swap": 24 * MIB}
    box.launch(config=config)
    box.start()
    facts = box.event("exited", timeout_s=40).facts
    assert facts["oom_killed"] is True
    assert box.event("oom").facts["count"] >= 1
    box.finish()


def write_extensions(box, **document) -> None:
    (box.run / "rootfs.json").write_text(json.dumps({"version": 1, **document}))


def test_users_are_looked_up_in_the_containers_own_files(box):
    write_extensions(box, user="web", groups=["adm"])
    box.launch("id")
    client = box.attach()
    box.start()
    out = texts(receive_all(client))[1].decode()
    assert out.startswith("uid=33(web) gid=33(web)")
    assert "4(adm)" in out
    box.finish()


def test_an_exec_can_be_another_user(box):
    box.launch("sleep", "100")
    box.start()
    reply, client = box.exec("id", "-u", user="web")
    assert reply.error is None, reply.error
    assert texts(receive_all(client)) == {1: b"33\n"}
    reply, client = box.exec("id", "-u", user="nobody-here")
    assert "unable to find user nobody-here" in reply.error["message"]
    client.close()
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_an_overlay_root_is_never_mounted_on_the_host(box, tmp_path):
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir()
    mount = {
        "fstype": "overlay",
        "source": "overlay",
        "options": [f"lowerdir={box.root}", f"upperdir={upper}", f"workdir={work}"],
        "directory": None,
    }
    write_extensions(box, mounts=[mount])
    config = make_config(box.root, box.id, "sh", "-c", "echo written > /root/file; sleep 100")
    config["root"] = {"path": "rootfs", "readonly": False}
    box.launch(config=config)
    box.start()
    deadline = time.monotonic() + 5
    while not (upper / "root/file").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with open("/proc/self/mountinfo") as file:
        assert str(upper) not in file.read()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()
    assert box.event("cleaned").facts["failures"] == []


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_rotated_files_are_compressed_while_it_runs(box, driver):
    log = LogSettings(driver, box.log.path, max_size_bytes=200_000, max_files=60, compress=True)
    script = "i=0; while [ $i -lt 20 ]; do seq 1 5000; i=$((i+1)); sleep 0.02; done; sleep 0.3"
    box.launch("sh", "-c", script, log=log)
    box.start()
    box.event("exited")
    box.finish()
    assert any(name.endswith(".gz") for name in os.listdir(box.home))
    assert not any(name.endswith(".tmp") for name in os.listdir(box.home))
    with LogReader(log, ReadOptions(), framed=False) as reader:
        text = b"".join(reader.chunks())
    assert text == b"".join(b"%d\n" % number for number in range(1, 5001)) * 20


def test_a_full_disk_holds_the_output_back_and_loses_none(box, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        log = LogSettings("local", str(small / "log"))
        ballast = small / "ballast"
        ballast.write_bytes(bytes(700_000))
        box.launch("sh", "-c", "seq 1 100000; sleep 0.2; echo done", log=log)
        box.start()
        time.sleep(1)
        assert not [event for event in box.events if event.name == "exited"]
        ballast.unlink()
        assert box.event("exited").facts["exit_code"] == 0
        box.finish()
        with LogReader(log, ReadOptions(), framed=False) as reader:
            text = b"".join(reader.chunks())
        assert text == b"".join(b"%d\n" % number for number in range(1, 100_001)) + b"done\n"
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_signals_are_at_their_defaults_and_no_descriptor_leaks(box):
    box.launch("sh", "-c", "ls /proc/1/fd; exec grep -E 'Sig(Ign|Blk)' /proc/self/status")
    client = box.attach()
    box.start()
    *fds, _, blocked, _, ignored = texts(receive_all(client))[1].decode().split()
    assert fds == ["0", "1", "2"]
    assert int(blocked, 16) == 0
    # The shell itself ignores SIGQUIT; 32 and 33 are the C library's own.
    assert int(ignored, 16) & ~0x1_8000_0004 == 0
    box.finish()
