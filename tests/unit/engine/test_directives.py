"""dockerd's flags and daemon.json: read, compared, merged, refused."""

import json
from pathlib import Path

import pytest

from cutaway.engine.configuration.directives import load_settings, parse_command_line, usage
from cutaway.engine.configuration.options import OPTIONS, Kind, Option
from cutaway.engine.configuration.settings import (
    AddressPool,
    BadSettings,
    BuildGc,
    DaemonSettings,
    Runtime,
    instance_name,
)
from cutaway.engine.units import Ulimit


def settings(tmp_path: Path, *flags: str, document: object = None) -> DaemonSettings:
    path = tmp_path / "daemon.json"
    path.write_text("{}" if document is None else json.dumps(document))
    return load_settings(parse_command_line([*flags, f"--config-file={path}"]))


def test_no_flags_give_the_defaults(tmp_path: Path) -> None:
    assert settings(tmp_path) == DaemonSettings()


def test_flags_in_all_of_pflags_spellings(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        *("-D", "-H", "unix:///a.sock", "-Hunix:///b.sock", "--host=tcp://127.0.0.1:1"),
        *("--data-root", "/data", "-l=warn", "--icc=false", "--default-ulimit", "nofile=10:20"),
        *("--add-runtime", "kata=/usr/bin/kata", "--log-opt", "max-size=1m"),
        *("--default-address-pool", "base=10.1.0.0/16,size=24", "--default-shm-size", "1g"),
    )
    assert found == DaemonSettings(
        debug=True,
        hosts=("unix:///a.sock", "unix:///b.sock", "tcp://127.0.0.1:1"),
        data_root="/data",
        log_level="warn",
        icc=False,
        default_ulimits=(Ulimit("nofile", 10, 20),),
        runtimes={"kata": Runtime("kata", "/usr/bin/kata")},
        log_opts={"max-size": "1m"},
        default_address_pools=(AddressPool("10.1.0.0/16", 24),),
        default_shm_size=1 << 30,
    )


def test_the_file_says_the_same_as_flags(tmp_path: Path) -> None:
    document = {
        "hosts": ["unix:///a.sock"],
        "debug": True,
        "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20, "Soft": 10}},
        "runtimes": {"kata": {"path": "/usr/bin/kata", "runtimeArgs": ["--x"]}},
        "log-opts": {"max-size": "1m"},
        "default-address-pools": [{"base": "10.1.0.0/16", "size": 24}],
        "insecure-registries": ["r:5000"],
        "proxies": {"http-proxy": "http://p"},
        "features": {"buildkit": True},
        "host-gateway-ip": "10.9.9.9",
        "builder": {"gc": {"enabled": True, "defaultKeepStorage": "20GB"}},
        "storage-opts": ["overlay2.override_kernel_check=true"],
    }
    assert settings(tmp_path, document=document) == DaemonSettings(
        hosts=("unix:///a.sock",),
        debug=True,
        default_ulimits=(Ulimit("nofile", 10, 20),),
        runtimes={"kata": Runtime("kata", "/usr/bin/kata", ("--x",))},
        log_opts={"max-size": "1m"},
        default_address_pools=(AddressPool("10.1.0.0/16", 24),),
        insecure_registries=("r:5000",),
        http_proxy="http://p",
        host_gateway_ips=("10.9.9.9",),
        build_gc=BuildGc(max_used_bytes=20 << 30),
    )


def test_a_directive_given_twice_is_refused_also_with_equal_values(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as caught:
        settings(
            tmp_path,
            *("--debug", "-H", "unix:///a", "--bip=10.0.0.1/24"),
            document={"debug": True, "hosts": ["unix:///b"]},
        )
    assert str(caught.value) == (
        f"unable to configure the Docker daemon with file {tmp_path}/daemon.json: "
        "the following directives are specified both as a flag and in the configuration file: "
        "debug: (from flag: true, from file: true), "
        "hosts: (from flag: [unix:///a], from file: [unix:///b])"
    )


def test_runtimes_of_both_are_joined(tmp_path: Path) -> None:
    found = settings(tmp_path, "--add-runtime=a=/a", document={"runtimes": {"b": {"path": "/b"}}})
    assert set(found.runtimes) == {"a", "b"}


def test_unknown_keys_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="don't match any configuration option: bar, foo$"):
        settings(tmp_path, document={"foo": 1, "bar": 2})


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--nonsense"], "unknown flag: --nonsense"),
        (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (["start"], '"cutawayd" accepts no arguments: start'),
        (["--mtu=big"], 'invalid argument "big" for "--mtu" flag'),
        (["--debug=maybe"], 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        (["--userns-remap=default"], "can't be honoured: user namespace remapping"),
        (["--selinux-enabled"], "can't be honoured: SELinux is not supported"),
        (["--log-level=loud"], 'invalid value "loud" for --log-level'),
        (["--default-runtime=kata"], "specified default runtime 'kata' does not exist"),
        (["--bip=10.0.0.1/24", "--bridge=br0"], "-b & --bip, mutually exclusive"),
        (["--bip=nowhere"], "invalid bip: "),
        (["--dns=nowhere"], "nowhere is not an ip address"),
        (["--data-root=relative"], "relative is not an absolute path"),
        (["--exec-opt=native.cgroupdriver=systemd"], "cgroups are driven by cgroupfs"),
        (["--default-ulimit=nofile=3:2"], "soft limit must be less than or equal to hard limit"),
        (["--storage-opt=overlay2.size=1G"], "can't be honoured: layers are overlay mounts"),
        (["--mtu=-1"], "invalid default MTU: -1"),
        (["--max-concurrent-downloads=-1"], "invalid max concurrent downloads: -1"),
        (["--ip=nowhere"], "nowhere is not an ip address"),
        (["--host-gateway-ip=nowhere"], "nowhere is not an ip address"),
        (["--default-gateway=nowhere"], "nowhere is not an ip address"),
        (["--registry-mirror=m:5000"], 'invalid mirror: no scheme specified for "m:5000"'),
        (["--label=a=1", "--label=a=2"], "conflict labels for a=2 and a=1"),
        (["--storage-driver=btrfs"], 'invalid value "btrfs" for --storage-driver'),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_a_sentence(
    tmp_path: Path, flags: list[str], sentence: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        settings(tmp_path, *flags)
    assert sentence in str(caught.value)


A_VALUE = {
    Kind.TEXT: "any", Kind.FLAG: "true", Kind.NUMBER: "7", Kind.BYTES: "1m", Kind.LIST: "any",
    Kind.MAP: "a=b",
}  # fmt: skip


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.refuse], ids=lambda o: o.flag)
def test_every_flag_that_has_no_effect_is_refused_with_its_reason(
    tmp_path: Path, option: Option
) -> None:
    value = "false" if option.default is True else A_VALUE[option.kind]
    with pytest.raises(BadSettings) as caught:
        settings(tmp_path, f"--{option.flag}={value}")
    assert str(caught.value) == f"--{option.flag} can't be honoured: {option.refuse}"


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.harmless], ids=lambda o: o.flag)
def test_every_flag_without_a_meaning_here_is_accepted(tmp_path: Path, option: Option) -> None:
    assert settings(tmp_path, f"--{option.flag}={A_VALUE[option.kind]}") == DaemonSettings()


def test_a_flag_without_its_value_is_refused() -> None:
    with pytest.raises(BadSettings, match="flag needs an argument: --data-root"):
        parse_command_line(["--data-root"])


@pytest.mark.parametrize(
    ("gc", "sentence"),
    [
        ({"enabled": True, "policy": [{"keepStorage": "1GB"}]}, "builder.gc.policy can't be"),
        ("yes", "builder: expected an object"),
        ({"enabled": True, "defaultKeepStorage": "much"}, "builder.gc: invalid size: 'much'"),
    ],
)
def test_a_clean_up_of_builds_that_would_not_happen_is_refused(
    tmp_path: Path, gc: object, sentence: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        settings(tmp_path, document={"builder": {"gc": gc}})
    assert sentence in str(caught.value)


def test_zero_means_the_default(tmp_path: Path) -> None:
    document = {"max-concurrent-downloads": 0, "mtu": 0, "builder": {"gc": {"enabled": False}}}
    assert settings(tmp_path, document=document) == DaemonSettings()


@pytest.mark.parametrize("text", ["not json", "[]", '{"debug": "yes"}', '{"mtu": true}'])
def test_a_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    with pytest.raises(BadSettings, match="unable to configure the Docker daemon with file"):
        load_settings(parse_command_line([f"--config-file={path}"]))


def test_a_missing_file_is_an_error_only_when_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="no such file or directory"):
        load_settings(parse_command_line([f"--config-file={tmp_path}/none.json"]))


def test_help_names_every_option_that_does_something() -> None:
    text = usage()
    for option in OPTIONS:
        assert (f"--{option.flag}" in text) is not bool(option.refuse or option.harmless) or (
            any(other.flag.startswith(option.flag) for other in OPTIONS if other is not option)
        )


def test_engines_at_other_places_have_other_names_for_what_is_on_the_host() -> None:
    assert instance_name(DaemonSettings()) == "cutaway"
    names = {instance_name(DaemonSettings(exec_root=root)) for root in ("/a", "/b")}
    assert len(names) == 2
