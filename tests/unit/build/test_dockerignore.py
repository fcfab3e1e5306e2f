"""``.dockerignore``: cases of Docker's documentation, and a slow reference matcher."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.build.dockerfile.dockerignore import IgnoreRules, compile_glob, parse_dockerignore
from cutaway.errors import InvalidParameter
from support.slow_match import slow_ignores, slow_match


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
        (["[^a].txt"], ["b.txt"], ["a.txt"]),
        (["x[^a]y"], ["x/y"], ["xay"]),
        (["[!a].txt"], ["a.txt", "!.txt"], ["b.txt"]),
        (["*", "./!b"], ["a"], ["b"]),
        (["**x"], ["ax", "b/cx", "x"], ["xa"]),
        (["**x*"], ["x", "a/xy"], ["ax"]),
        (["a**"], ["a", "ab", "a/b"], ["b"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "b"]),
        (["a\\*"], ["a*"], ["ab"]),
        (["."], [], ["a"]),
    ],
)
def test_documented_cases(lines, ignored, kept):
    matcher = rules(*lines)
    assert [p for p in ignored if not matcher.ignores(p)] == []
    assert [p for p in kept if matcher.ignores(p)] == []


@pytest.mark.parametrize("line", ["[", "a[b", "x\\", "!", "[]", "[^]", "[-a]", "[a-]", "[b-a]"])
def test_malformed_patterns(line):
    with pytest.raises(InvalidParameter):
        parse_dockerignore(line)


def test_directories_with_exceptions_below_are_walked():
    matcher = rules("docs", "!docs/keep/*.md", "other")
    assert matcher.may_contain_exception("docs")
    assert matcher.may_contain_exception("docs/keep")
    assert not matcher.may_contain_exception("other")


PIECES = st.sampled_from(["a", "b", "/", "*", "?", "**", "[ab]", "[^a]", "[!a]", "\\a", ".", "]"])
PATTERNS = st.lists(PIECES, min_size=1, max_size=6).map("".join)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "!", "a.b", "]"]), min_size=1, max_size=4).map(
    "/".join
)


@settings(max_examples=1000)
@given(PATTERNS, PATHS)
def test_agrees_with_a_slow_reference_matcher(pattern, path):
    assert bool(compile_glob(pattern).fullmatch(path)) == slow_match(pattern, path)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.booleans(), PATTERNS), max_size=4), PATHS)
def test_files_agree_with_a_slow_reference_matcher(lines, path):
    texts = [("!" if is_exception else "") + text for is_exception, text in lines]
    cleaned = [(p.is_exception, p.text) for p in parse_dockerignore("\n".join(texts))]
    assert rules(*texts).ignores(path) == slow_ignores(cleaned, path)
