"""``--change``: a table of instructions and what they make of an image config."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.archives.changes import apply_changes
from cutaway.oci import ContainerDefaults

EMPTY = ContainerDefaults()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('CMD ["sh", "-c"]', ContainerDefaults(cmd=("sh", "-c"))),
        ("CMD echo hi", ContainerDefaults(cmd=("/bin/sh", "-c", "echo hi"))),
        ("cmd [not json", ContainerDefaults(cmd=("/bin/sh", "-c", "[not json"))),
        ('ENTRYPOINT ["x"]', ContainerDefaults(entrypoint=("x",))),
        ('ENV A=b C="d e"', ContainerDefaults(env=("A=b", "C=d e"))),
        ("ENV A all the rest", ContainerDefaults(env=("A=all the rest",))),
        ("LABEL a=b c='d'", ContainerDefaults(labels={"a": "b", "c": "d"})),
        ("EXPOSE 80 53/udp", ContainerDefaults(exposed_ports={"80/tcp": {}, "53/udp": {}})),
        ("EXPOSE 1-2", ContainerDefaults(exposed_ports={"1/tcp": {}, "2/tcp": {}})),
        ("USER www:www", ContainerDefaults(user="www:www")),
        ("WORKDIR a/../b", ContainerDefaults(working_dir="/b")),
        ('VOLUME ["/a", "/b c"]', ContainerDefaults(volumes={"/a": {}, "/b c": {}})),
        ("VOLUME /a /b", ContainerDefaults(volumes={"/a": {}, "/b": {}})),
        ("STOPSIGNAL SIGINT", ContainerDefaults(stop_signal="SIGINT")),
        ("ONBUILD RUN x", ContainerDefaults(on_build=("RUN x",))),
    ],
)
def test_change(change: str, expected: ContainerDefaults) -> None:
    assert apply_changes(EMPTY, [change]) == expected


def test_later_changes_build_on_earlier_ones() -> None:
    changes = ["ENV A=1 B=2", "ENV A=3", "WORKDIR /x", "WORKDIR y", 'CMD ["a"]', 'ENTRYPOINT ["b"]']
    assert apply_changes(EMPTY, changes) == ContainerDefaults(
        env=("A=3", "B=2"), working_dir="/x/y", entrypoint=("b",)
    )


@pytest.mark.parametrize(
    "change",
    [
        "RUN ls", "FROM x", "CMD", "ENV", "ENV A", "ENV A=b C", 'ENV A="b', "EXPOSE 0",
        "EXPOSE 70000", "EXPOSE x", "EXPOSE 5-3", "USER a b", "STOPSIGNAL ;", "ONBUILD FROM x",
        'VOLUME [""]', "",
    ],
)  # fmt: skip
def test_wrong_change_is_refused(change: str) -> None:
    with pytest.raises(InvalidParameter):
        apply_changes(EMPTY, [change])
