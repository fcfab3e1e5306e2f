"""From flags to the body of a create request; expected bodies as docker 28 sends them."""

import pytest

from cutaway.cli.creating.body import build_create_body, parse_network_flag
from cutaway.cli.creating.flags import RUN_FLAGS
from cutaway.cli.creating.mounts import parse_mount_flag
from cutaway.cli.creating.ports import parse_publish
from cutaway.cli.flags import UsageError, declare, parse


def body(line: str) -> dict:
    flags, arguments = parse(line.split(), declare(RUN_FLAGS), interspersed=False)
    return build_create_body(flags, arguments)


def test_a_plain_run():
    made = body("busybox true")
    assert made["Image"] == "busybox"
    assert made["Cmd"] == ["true"]
    assert (made["AttachStdin"], made["AttachStdout"], made["AttachStderr"]) == (False, True, True)
    assert made["HostConfig"]["NetworkMode"] == "default"
    assert made["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}


def test_isolation_flags_reach_the_host_config():
    made = body(
        "-it --rm -m 64m --cpus 1.5 --pids-limit 10 --cap-drop ALL --cap-add NET_RAW --read-only "
        "--ulimit nofile=5:10 --sysctl net.ipv4.ip_forward=1 --tmpfs /t:size=1m -w /x -u 1:2 "
        "--stop-signal INT --stop-timeout 3 --init --device /dev/null:/dev/n:r img"
    )
    host = made["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 << 20, 1_500_000_000, 10)
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["NET_RAW"])
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 5, "Hard": 10}]
    assert host["Sysctls"] == {"net.ipv4.ip_forward": "1"}
    assert host["Tmpfs"] == {"/t": "size=1m"}
    assert host["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/n", "CgroupPermissions": "r"}
    ]
    assert (host["ReadonlyRootfs"], host["Init"], host["AutoRemove"]) == (True, True, True)
    assert (made["WorkingDir"], made["User"], made["StopTimeout"]) == ("/x", "1:2", 3)
    assert (made["StdinOnce"], made["OpenStdin"], made["Tty"]) == (True, True, True)


def test_environment_names_are_copied_from_this_process(monkeypatch, tmp_path):
    monkeypatch.setenv("CUTAWAY_TEST_A", "here")
    monkeypatch.delenv("CUTAWAY_TEST_B", raising=False)
    (tmp_path / "env").write_text("# comment\nX=1\n\n  Y=2 3\nCUTAWAY_TEST_A\n")
    made = body(f"--env-file {tmp_path}/env -e CUTAWAY_TEST_B -e Z= img")
    assert made["Env"] == ["X=1", "Y=2 3", "CUTAWAY_TEST_A=here", "CUTAWAY_TEST_B", "Z="]


def test_volumes_split_into_binds_and_anonymous(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = body("-v /a -v ./b:/c:ro -v name:/d img")
    assert made["Volumes"] == {"/a": {}}
    assert made["HostConfig"]["Binds"] == [f"{tmp_path}/b:/c:ro", "name:/d"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("80/tcp", {"HostIp": "", "HostPort": ""})]),
        ("8080:80/udp", [("80/udp", {"HostIp": "", "HostPort": "8080"})]),
        ("127.0.0.1:1:2", [("2/tcp", {"HostIp": "127.0.0.1", "HostPort": "1"})]),
        ("[::1]:1:2", [("2/tcp", {"HostIp": "::1", "HostPort": "1"})]),
        (
            "8000-8001:80-81",
            [
                ("80/tcp", {"HostIp": "", "HostPort": "8000"}),
                ("81/tcp", {"HostIp": "", "HostPort": "8001"}),
            ],
        ),
        ("8000-8010:80", [("80/tcp", {"HostIp": "", "HostPort": "8000-8010"})]),
    ],
)
def test_publish(text, expected):
    assert parse_publish(text) == expected


@pytest.mark.parametrize(
    "text", ["", "80:", "x", "99999", "1:2:3", "80/icmp", "1-3:1-2", "300.0.0.1:1:2", "81-80"]
)
def test_publish_refuses(text):
    with pytest.raises(UsageError):
        parse_publish(text)


def test_mount_flag():
    assert parse_mount_flag("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rslave"},
    }
    assert parse_mount_flag("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770") == {
        "Type": "tmpfs",
        "Target": "/t",
        "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bind", "target is required"),
        ("type=bind,dst=/a,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'bind'"),
        ("dst=/a,foo=1", "unexpected key 'foo' in 'foo=1'"),
        ("dst=/a,foo", "invalid field 'foo' must be a key=value pair"),
    ],
)
def test_mount_flag_refuses(text, message):
    with pytest.raises(UsageError) as caught:
        parse_mount_flag(text)
    assert str(caught.value) == message


def test_network_long_form():
    name, settings = parse_network_flag("name=n,alias=a,alias=b,ip=10.0.0.2,driver-opt=k=v")
    assert name == "n"
    assert settings == {
        "Aliases": ["a", "b"],
        "IPAMConfig": {"IPv4Address": "10.0.0.2"},
        "DriverOpts": {"k": "v"},
    }


def test_health_flags():
    made = body("--health-cmd true --health-interval 5s --health-retries 2 img")
    assert made["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"],
        "Interval": 5 * 10**9,
        "Timeout": 0,
        "StartPeriod": 0,
        "StartInterval": 0,
        "Retries": 2,
    }
    assert body("--no-healthcheck img")["Healthcheck"] == {"Test": ["NONE"]}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("--rm --restart always img", "cannot specify both --restart and --rm"),
        ("--no-healthcheck --health-cmd x img", "--no-healthcheck conflicts"),
        ("--ulimit nofile=9:5 img", "soft limit must be less than or equal"),
        ("-a nowhere img", "valid streams are STDIN, STDOUT and STDERR"),
        ("--restart on-failure:x img", "maximum retry count must be an integer"),
        ("--add-host bad img", "bad format for add-host"),
        ("--device /a:/b:xyz img", "invalid device mode: xyz"),
    ],
)
def test_contradictions_are_refused(line, part):
    with pytest.raises(UsageError) as caught:
        body(line)
    assert part in str(caught.value)
