"""Flags as pflag takes them; the expected messages are those of docker 28."""

import pytest

from cutaway.cli.flags import UsageError, declare, parse

FLAGS = declare("""
-d, --detach         Run in background
-e, --env list       Set environment variables
    --rm             Remove
-m, --memory bytes   Memory limit
    --name string    Name
-t, --tty            Terminal
-i, --interactive    Stdin
    --cpus decimal   CPUs
    --proxy          Proxy (default true)
    --pull string    Pull (default "missing")
""")


def parsed(*words, interspersed=False):
    return parse(list(words), FLAGS, interspersed=interspersed)


def test_what_follows_the_image_belongs_to_the_container():
    values, arguments = parsed("--rm", "busybox", "ls", "--rm", "-d")
    assert values["rm"] is True
    assert values["detach"] is False
    assert arguments == ["busybox", "ls", "--rm", "-d"]


def test_letters_can_be_joined_and_the_last_takes_a_value():
    values, arguments = parsed("-itm64m", "-e", "A=1", "-eB=2", "-e=C", "x")
    assert (values["interactive"], values["tty"]) == (True, True)
    assert values["memory"] == 64 << 20
    assert values["env"] == ["A=1", "B=2", "C"]
    assert arguments == ["x"]


def test_a_switch_can_be_turned_off():
    values, _ = parsed("--rm=false", "--proxy=0", "x")
    assert values["rm"] is False
    assert values["proxy"] is False
    assert values.given == {"rm", "proxy"}


def test_defaults_come_from_the_help_text():
    values, _ = parsed("x")
    assert values["pull"] == "missing"
    assert values["proxy"] is True
    assert values["env"] == []
    assert values["memory"] is None


def test_flags_between_arguments_are_taken_when_interspersed():
    values, arguments = parsed("a", "--name", "n", "b", "--", "--rm", interspersed=True)
    assert values["name"] == "n"
    assert arguments == ["a", "b", "--rm"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (["--name"], "flag needs an argument: --name"),
        (["-m", "x"], 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
        (
            ["--rm=xyz"],
            'invalid argument "xyz" for "--rm" flag: strconv.ParseBool: parsing "xyz": '
            "invalid syntax",
        ),
        (
            ["--cpus", "abc"],
            'invalid argument "abc" for "--cpus" flag: failed to parse abc as a rational number',
        ),
    ],
)
def test_errors_are_in_dockers_words(words, message):
    with pytest.raises(UsageError) as caught:
        parsed(*words)
    assert str(caught.value) == message
