"""Typed instructions, and errors that point at the place."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.build.dockerfile import instructions as ins
from cutaway.build.dockerfile.parser import parse_dockerfile, parse_trigger
from cutaway.build.dockerfile.run_mounts import parse_run_mount
from cutaway.build.errors import DockerfileError
from cutaway.errors import InvalidParameter


def one(line):
    return parse_dockerfile(f"FROM a\n{line}").instructions[1]


def test_forms_of_commands():
    assert one('CMD ["a", "b"]').words == ("a", "b")
    assert (one("CMD a b").words, one("CMD a b").is_shell) == (("a b",), True)
    assert one("CMD").words == ()
    assert one("RUN ['a']").is_shell
    assert one('RUN --mount=type=cache,target=/c --network=none ["x"]').mounts == (
        "type=cache,target=/c",
    )


def test_pairs():
    assert one('ENV A=1 B="x y" C=z\\ w').pairs == (("A", "1"), ("B", '"x y"'), ("C", "z\\ w"))
    assert one("ENV A some text").pairs == (("A", "some text"),)
    assert one("ARG X Y=1").pairs == (("X", None), ("Y", "1"))


def test_copy_flags():
    copy = one("COPY --from=b --chown=1:2 --chmod=755 --link --exclude=*.o --exclude=x a b /c/")
    assert (copy.from_, copy.chown, copy.chmod, copy.link) == ("b", "1:2", "755", True)
    assert (copy.exclude, copy.sources, copy.destination) == (("*.o", "x"), ("a", "b"), "/c/")
    assert one('COPY ["a b", "/c"]').sources == ("a b",)


def test_healthcheck():
    check = one("HEALTHCHECK --interval=5s --retries=2 CMD curl -f x || exit 1")
    assert check.test == ("CMD-SHELL", "curl -f x || exit 1")
    assert (check.interval_ns, check.retries) == (5 * 10**9, 2)
    assert one("HEALTHCHECK NONE").test == ("NONE",)
    assert one('HEALTHCHECK CMD ["x", "y"]').test == ("CMD", "x", "y")


def test_from_names_a_stage():
    stage = parse_dockerfile("FROM --platform=linux/arm64 img:1 AS Build").instructions[0]
    assert (stage.image, stage.stage_name, stage.platform) == ("img:1", "build", "linux/arm64")


def test_the_error_shows_line_caret_and_suggestion():
    with pytest.raises(DockerfileError) as caught:
        parse_dockerfile("FROM a\nCOPPY a b\n")
    assert str(caught.value) == (
        "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)\n"
        "Dockerfile:2\nCOPPY a b\n^"
    )


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("COPY a", "COPY requires at least two arguments"),
        ("COPY --form=x a b", "unknown flag: --form (did you mean --from?)"),
        ("COPY --from= a b", "missing a value on flag: from"),
        ("COPY --from=a --from=b a b", "duplicate flag specified: from"),
        ("COPY --link=maybe a b", "expecting boolean value for flag link"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", 'can\'t find = in "B"'),
        ("SHELL /bin/sh", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", "invalid name for build stage"),
        ("HEALTHCHECK RUN x", "Unknown type 'RUN' in HEALTHCHECK"),
        ("HEALTHCHECK --interval=1us CMD x", "cannot be less than 1ms"),
        ("HEALTHCHECK --interval=x CMD x", "invalid value for --interval"),
        ("RUN --network=some x", "invalid network mode"),
        ("VOLUME []", "VOLUME specified can not be an empty string"),
        ("STOPSIGNAL a b", "exactly one argument"),
    ],
)
def test_bad_instructions(line, part):
    with pytest.raises(DockerfileError) as caught:
        one(line)
    assert part in str(caught.value)
    assert caught.value.place.line == 2


def test_triggers():
    assert isinstance(parse_trigger("RUN x"), ins.Run)
    with pytest.raises(DockerfileError):
        parse_trigger("FROM x")


def test_run_mounts():
    mount = parse_run_mount("type=cache,target=/c,id=x,sharing=locked,mode=0700")
    assert (mount.kind, mount.identifier, mount.mode, mount.read_only) == (
        "cache",
        "x",
        0o700,
        False,
    )
    assert parse_run_mount("from=b,target=/x,rw").read_only is False
    assert parse_run_mount("target=/x").read_only is True
    assert parse_run_mount("type=tmpfs,target=/x,size=10m").size_bytes == 10 << 20


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("type=nope,target=/x", "unsupported mount type"),
        ("type=bind", "target is required"),
        ("type=tmpfs,target=/x,id=y", "unexpected key 'identifier'"),
        ("target=/x,foo=1", "unexpected key 'foo'"),
        ("type=secret", "needs an id or a target"),
        ("type=cache,target=/x,sharing=no", "unsupported sharing"),
        ("type=cache,target=/x,uid=-1", "invalid value for uid"),
    ],
)
def test_bad_run_mounts(text, part):
    with pytest.raises(InvalidParameter) as caught:
        parse_run_mount(text)
    assert part in str(caught.value)


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_any_text_is_a_dockerfile_or_an_error(text):
    with contextlib.suppress(DockerfileError):
        parse_dockerfile(text)


WORDS = st.sampled_from(
    [
        "FROM a",
        "RUN x",
        "COPY a b",
        "ENV A=1",
        "RUN <<E",
        "E",
        "\\",
        "# c",
        "ONBUILD RUN <<E",
        "ARG",
    ]
)


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=12))
def test_any_mixture_of_lines_is_a_dockerfile_or_an_error(lines):
    with contextlib.suppress(DockerfileError):
        parse_dockerfile("\n".join(lines))
