"""Text to nodes: continuations, comments, directives, heredocs."""

import pytest

from cutaway.build.dockerfile.lines import parse_lines
from cutaway.build.errors import DockerfileError


def rests(text):
    return [(n.keyword, n.flags, n.rest) for n in parse_lines(text).nodes]


def test_continuations_skip_comments_and_empty_lines():
    text = "FROM a\nRUN one \\\n  # not me\n\n  two \\  \n three\n# end\n"
    assert rests(text) == [("FROM", (), "a"), ("RUN", (), "one   two  three")]


def test_the_escape_directive_changes_the_continuation():
    file = parse_lines("# escape=`\nFROM a\nRUN c:\\x `\n y\n")
    assert file.escape == "`"
    assert file.nodes[1].rest == "c:\\x  y"


def test_directives_end_at_the_first_other_line():
    assert parse_lines("# hello\n# escape=`\nFROM a").escape == "\\"
    assert parse_lines("# syntax=docker/dockerfile:1\nFROM a").syntax == "docker/dockerfile:1"


def test_flags_are_taken_from_the_front_only():
    assert rests("FROM a\nCOPY --from=x --chown=1:2 --a b --c")[1] == (
        "COPY",
        ("--from=x", "--chown=1:2", "--a"),
        "b --c",
    )


def test_a_heredoc_is_taken_to_its_end():
    node = parse_lines('FROM a\nRUN <<-"EOF" cat <<B\n\tx $y\n\tEOF\nin b\nB\nUSER u\n').nodes[1]
    assert [(h.name, h.content, h.expand, h.strip_tabs) for h in node.heredocs] == [
        ("EOF", "x $y\n", False, True),
        ("B", "in b\n", True, False),
    ]


def test_a_heredoc_marker_in_quotes_or_of_another_instruction_is_text():
    assert parse_lines("FROM a\nRUN echo '<<EOF'\nCMD x <<E\n").nodes[1].heredocs == ()


def test_windows_lines_and_a_byte_order_mark():
    assert rests("\ufeffFROM a\r\nRUN b \\\r\n c\r\n") == [("FROM", (), "a"), ("RUN", (), "b  c")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "file with no instructions"),
        ("# only\n", "file with no instructions"),
        ("# escape=x\nFROM a", "invalid escape token 'x'"),
        ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive"),
        ("FROM a\nRUN <<EOF\nx\n", "unterminated heredoc"),
    ],
)
def test_what_can_not_be_read(text, part):
    with pytest.raises(DockerfileError) as caught:
        parse_lines(text)
    assert part in str(caught.value)
