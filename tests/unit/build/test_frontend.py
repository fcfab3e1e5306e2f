"""What a Dockerfile means: vertices and configuration, compared as values."""

import pytest

from cutaway.build.dockerfile.frontend import (
    BuildOptions,
    ResolvedImage,
    evaluate,
    images_needed,
    read_stages,
    unused_args,
)
from cutaway.build.dockerfile.parser import parse_dockerfile
from cutaway.build.errors import BuildError, DockerfileError
from cutaway.build.graph import (
    BaseImage,
    Context,
    CopyFiles,
    CopySource,
    Git,
    Inline,
    MakeDirectory,
    Remote,
    RunCommand,
    Scratch,
)
from cutaway.oci import ContainerDefaults, ImageConfig, Platform
from cutaway.oci.image_config import RootFS

AMD64 = Platform.parse("linux/amd64")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE = BaseImage("sha256:1", "sha256:c", "base")


def image(**defaults):
    config = ImageConfig("amd64", "linux", RootFS("layers"), ContainerDefaults(**defaults))
    return ResolvedImage("sha256:1", "sha256:c", config)


def build(text, base=None, **options):
    settings = BuildOptions(platform=AMD64, **options)
    stages, needed = read_stages(parse_dockerfile(text), settings)
    images = {key: base or image() for key in images_needed(stages, needed)}
    return evaluate(stages, needed, images, settings)


def last(text, base=None, **options):
    return build(text, base, **options)[-1].last


def test_a_shell_command_runs_on_its_base():
    step = last("FROM base\nENV A=1\nUSER u\nWORKDIR /w\nRUN echo hi")
    assert step.vertex == RunCommand(
        base=MakeDirectory(BASE, "/w", owner="u"),
        args=("/bin/sh", "-c", "echo hi"),
        env=(PATH, "A=1"),
        cwd="/w",
        user="u",
    )
    assert step.created_by == "RUN /bin/sh -c echo hi"


def test_settings():
    config = last(
        'FROM base\nLABEL a=1 "b c"=2\nEXPOSE 80 53/udp 90-91\nVOLUME /v ["x"]\nSTOPSIGNAL SIGINT\n'
        'SHELL ["/bin/b", "-c"]\nCMD x y\nENTRYPOINT ["e"]\nONBUILD RUN z\nUSER 1:2'
    ).config
    assert config.labels == {"a": "1", "b c": "2"}
    assert set(config.exposed_ports) == {"80/tcp", "53/udp", "90/tcp", "91/tcp"}
    assert (config.stop_signal, config.shell) == ("SIGINT", ("/bin/b", "-c"))
    assert (config.cmd, config.entrypoint) == (("/bin/b", "-c", "x y"), ("e",))
    assert (config.on_build, config.user) == (("RUN z",), "1:2")


def test_an_entrypoint_clears_only_an_inherited_command():
    base = image(cmd=("inherited",))
    assert last('FROM base\nENTRYPOINT ["e"]', base).config.cmd is None
    assert last('FROM base\nCMD ["own"]\nENTRYPOINT ["e"]', base).config.cmd == ("own",)


def test_args_are_seen_from_their_line_and_env_wins():
    text = "ARG G=g\nFROM base\nARG A=1\nARG G\nENV B=$A$G\nARG B=no\nRUN x"
    step = last(text, build_args={"A": "2"})
    assert step.vertex.env == (PATH, "B=2g", "A=2", "G=g")
    assert step.created_by == "RUN |2 A=2 G=g /bin/sh -c x"


def test_global_args_are_not_seen_in_a_stage_without_redeclaring():
    assert last("ARG G=g\nFROM base\nENV B=x$G").config.env == (PATH, "B=x")


def test_proxies_are_seen_but_hidden():
    step = last("FROM base\nRUN x", build_args={"HTTP_PROXY": "p"})
    assert (step.vertex.env, step.vertex.hidden_env) == ((PATH,), ("HTTP_PROXY=p",))
    assert step.created_by == "RUN /bin/sh -c x"


def test_platform_args():
    assert last("FROM base\nARG TARGETARCH\nENV A=$TARGETARCH").config.env == (PATH, "A=amd64")


def test_one_env_uses_the_values_before_it():
    assert last("FROM base\nENV a=1\nENV a=2 b=$a").config.env == (PATH, "a=2", "b=1")


def test_unused_stages_are_not_evaluated():
    text = "FROM base AS one\nFROM other AS two\nRUN x\nFROM one AS three\nCOPY --from=0 /a /b"
    plans = build(text)
    assert [plan.stage.title for plan in plans] == ["one", "three"]
    assert plans[-1].last.vertex == CopyFiles(BASE, (CopySource(BASE, "a"),), "/b")


def test_target_and_its_absence():
    text = "FROM base AS one\nRUN a\nFROM base AS two\nRUN b"
    assert last(text, target="one").vertex.args[-1] == "a"
    with pytest.raises(BuildError, match=r"failed to reach build target twoo.*did you mean two"):
        last(text, target="twoo")


def test_copy_from_an_image():
    step = last("FROM scratch\nCOPY --from=other:1 /x/ y/")
    assert step.vertex.sources == (CopySource(BaseImage("sha256:1", "sha256:c", "other:1"), "x"),)
    assert step.vertex.destination == "/y/"
    assert step.vertex.base == Scratch()


def test_copy_heredoc_and_add_sources():
    text = "FROM base\nENV A=1\nCOPY <<F <<'G' /d/\n$A \"q\"\nF\n$A\nG\n"
    assert [s.origin for s in last(text).vertex.sources] == [
        Inline("F", '1 "q"\n'),
        Inline("G", "$A\n"),
    ]
    vertex = last("FROM base\nADD http://h/a/f.txt https://g/r.git#v1:sub x /d/").vertex
    assert vertex.sources == (
        CopySource(Remote("http://h/a/f.txt"), "*"),
        CopySource(Git("https://g/r.git", "v1", "sub"), ""),
        CopySource(Context(), "x"),
    )
    assert last("FROM base\nADD x.tar /d/").vertex.unpack is True
    assert last("FROM base\nCOPY x.tar /d/").vertex.unpack is False


def test_run_heredocs():
    assert last("FROM base\nRUN <<E\na\nb\nE").vertex.args == ("/bin/sh", "-c", "a\nb\n")
    assert last("FROM base\nRUN cat <<E > /x\na\nE").vertex.args == (
        "/bin/sh", "-c", "cat <<E > /x\na\nE",
    )  # fmt: skip
    script = last("FROM base\nRUN <<E\n#!/usr/bin/env python3\nprint(1)\nE").vertex
    assert script.args == ("/dev/pipes/E",)
    assert script.mounts[0].origin.mode == 0o755


def test_arguments_are_seen_in_stages_that_begin_with_theirs():
    text = "FROM base AS one\nARG A=1\nARG B=2\nFROM one\nARG B=3\nRUN $A\nFROM base\nRUN $A"
    assert last(text.partition("\nFROM base\n")[0]).vertex.env[1:] == ("A=1", "B=3")
    assert last(text).vertex.env[1:] == ()


def test_triggers_run_first_and_are_not_inherited():
    steps = build("FROM base\nRUN own", image(on_build=("RUN trigger", "ENV T=1")))[-1].steps
    assert [step.original for step in steps] == ["FROM base", "RUN trigger", "ENV T=1", "RUN own"]
    assert [step.trigger for step in steps] == [False, True, True, False]
    assert steps[-1].config.on_build == ()


def test_labels_of_the_request_come_last():
    step = last("FROM base\nLABEL a=1", labels={"a": '$x "2"'})
    assert step.config.labels == {"a": '$x "2"'}


def test_run_mounts_are_resolved():
    text = (
        "FROM base AS b\nRUN a\nFROM base\nWORKDIR /w\n"
        "RUN --mount=from=b,source=/s,target=t --mount=type=cache,target=/c "
        "--mount=type=secret,id=key x"
    )
    bind, cache, secret = last(text).vertex.mounts
    assert (bind.target, bind.origin.args[-1], bind.read_only) == ("/w/t", "a", True)
    assert (cache.identifier, cache.read_only) == ("/c", False)
    assert secret.target == "/run/secrets/key"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("RUN x", "no build stage in current context"),
        ("ARG A\nFROM $A", "should not be blank"),
        ("FROM base AS a\nCOPY --from=a x y", "circular dependency detected"),
        ("FROM base AS a\nCOPY --from=b x y\nFROM base AS b\nCOPY --from=a x y", "a -> b -> a"),
        ("FROM base\nEXPOSE 99999", "ports go from 1 to 65535"),
        ("FROM base\nSTOPSIGNAL SIGNOPE", "invalid signal: SIGNOPE"),
        ("FROM base\nRUN --mount=type=nope,target=/x y", "unsupported mount type"),
        ("FROM base\nCOPY --chmod=9 a b", "invalid chmod parameter"),
        ('FROM base\nENV A="${x:?need it}"', "x: need it"),
    ],
)
def test_errors_have_a_place(text, part):
    with pytest.raises(DockerfileError) as caught:
        last(text, target="a" if "AS b" in text else "")
    assert part in str(caught.value)
    assert caught.value.place is not None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("FROM base\nCOPY a b /c", "the destination must be a directory and end with a /"),
        ("FROM base\nCOPY ../a /c", "forbidden path outside the build context: ../a ()"),
        ("FROM base\nADD a/../../b /c", "ADD failed: forbidden path outside the build context"),
    ],
)
def test_copies_that_can_not_be(text, part):
    with pytest.raises(BuildError) as caught:
        last(text)
    assert part in str(caught.value)


def test_unused_build_args():
    options = BuildOptions(platform=AMD64, build_args={"A": "1", "B": "2", "http_proxy": "x"})
    assert unused_args(options, parse_dockerfile("FROM a\nARG A")) == ("B",)
