"""``.dockerignore``: cases of Docker's documentation, and a slow reference matcher."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.build.dockerfile.dockerignore import IgnoreRules, compile_glob, parse_dockerignore
from cutaway.errors import InvalidParameter


def rules(*lines):
    return IgnoreRules(parse_dockerignore("\n".join(lines)))


@pytest.mark.parametrize(
    ("lines", "ignored", "kept"),
    [
        (["*/temp*"], ["a/temp", "a/temporary.txt", "a/temp/x"], ["temp", "a/b/temp"]),
        (["*/*/temp*"], ["a/b/temp.txt"], ["a/temp"]),
        (["temp?"], ["tempa", "tempb/x"], ["temp", "tempab", "a/tempa"]),
        (["**/*.go"], ["x.go", "a/b/x.go"], ["x.gox"]),
        (["*.md", "!README.md"], ["a.md"], ["README.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["README-secret.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["a.md"], ["README-secret.md"]),
        (["/foo/bar"], ["foo/bar", "foo/bar/x"], ["bar"]),
        (["foo/bar/", "# no", ""], ["foo/bar"], ["foo"]),
        (["docs", "!docs/keep"], ["docs/x"], ["docs/keep", "docs/keep/y"]),
        (["a/../b"], ["b"], ["a"]),
        (["a/**/b"], ["a/b", "a/x/y/b"], ["ab", "b"]),
        (["**"], ["x", "a/b"], []),
        (["[a-c].txt"], ["a.txt"], ["d.txt"]),
        (["[^a].txt"], ["b.txt"], ["a.txt", "/.txt"]),
        (["a\\*"], ["a*"], ["ab"]),
        (["."], [], ["a"]),
    ],
)
def test_documented_cases(lines, ignored, kept):
    matcher = rules(*lines)
    assert [p for p in ignored if not matcher.ignores(p)] == []
    assert [p for p in kept if matcher.ignores(p)] == []


@pytest.mark.parametrize("line", ["[", "a[b", "x\\", "!"])
def test_malformed_patterns(line):
    with pytest.raises(InvalidParameter):
        parse_dockerignore(line)


def test_directories_with_exceptions_below_are_walked():
    matcher = rules("docs", "!docs/keep/*.md", "other")
    assert matcher.may_contain_exception("docs")
    assert matcher.may_contain_exception("docs/keep")
    assert not matcher.may_contain_exception("other")


def slow_match(pattern: str, path: str) -> bool:
    """Go's filepath.Match with ``**``, by trying everything."""
    if pattern == "":
        return path == ""
    if pattern.startswith("**/"):
        if slow_match(pattern[3:], path):
            return True
        return any(slow_match(pattern[3:], path[i + 1 :]) for i, c in enumerate(path) if c == "/")
    if pattern.startswith("**"):
        rest = pattern.lstrip("*")
        return any(slow_match(rest, path[i:]) for i in range(len(path) + 1))
    if pattern[0] == "*":
        for end in range(len(path) + 1):
            if "/" in path[:end]:
                break
            if slow_match(pattern[1:], path[end:]):
                return True
        return False
    if path == "":
        return False
    if pattern[0] == "?":
        return path[0] != "/" and slow_match(pattern[1:], path[1:])
    return pattern[0] == path[0] and slow_match(pattern[1:], path[1:])


@settings(deadline=None, max_examples=500)
@given(
    st.text(alphabet="ab/*?", min_size=1, max_size=8).filter(lambda p: "***" not in p),
    st.text(alphabet="ab/", min_size=1, max_size=8),
)
def test_agrees_with_a_slow_reference_matcher(pattern, path):
    assert bool(compile_glob(pattern).fullmatch(path)) == slow_match(pattern, path)
