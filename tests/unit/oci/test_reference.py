"""References are parsed, normalised and shown as docker does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.errors import InvalidParameter
from cutaway.oci import Digest, Reference

SHA = "sha256:" + "ab" * 32
ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        (f"library/{ID}", f"docker.io/library/{ID}", f"library/{ID}"),
        ("docker.io/a.b/c:1", "docker.io/a.b/c:1", "docker.io/a.b/c:1"),
        ("docker.io/localhost/c", "docker.io/localhost/c", "docker.io/localhost/c"),
        ("nginx", "docker.io/library/nginx", "nginx"),
        ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("library/nginx", "docker.io/library/nginx", "nginx"),
        ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("index.docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx", "nginx"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:t", "localhost:5000/x:t", "localhost:5000/x:t"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
        ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo"),
        ("ghcr.io/org/app", "ghcr.io/org/app", "ghcr.io/org/app"),
        ("HOST/app", "HOST/app", "HOST/app"),
        (f"app@{SHA}", f"docker.io/library/app@{SHA}", f"app@{SHA}"),
        (f"app:v1@{SHA}", f"docker.io/library/app:v1@{SHA}", f"app:v1@{SHA}"),
        ("a__b/c-d.e_f---g", "docker.io/a__b/c-d.e_f---g", "a__b/c-d.e_f---g"),
        (ID[:63], f"docker.io/library/{ID[:63]}", ID[:63]),
        ("docker/docker", "docker.io/docker/docker", "docker/docker"),
        ("foo:5000", "docker.io/library/foo:5000", "foo:5000"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128, "x:" + "t" * 128),
    ],
)
def test_a_reference_is_normalised_and_shown_in_its_familiar_form(text, full, familiar):
    reference = Reference.parse(text)

    assert str(reference) == full
    assert reference.familiar == familiar
    assert Reference.parse(full) == reference
    assert Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        (":latest", "invalid reference format"),
        ("foo:", "invalid reference format"),
        ("foo//bar", "invalid reference format"),
        ("foo/", "invalid reference format"),
        ("-foo", "invalid reference format"),
        ("foo/-bar", "invalid reference format"),
        ("a--_b/c", "invalid reference format"),
        ("foo bar", "invalid reference format"),
        ("foo\n", "invalid reference format"),
        ("foo:ta g", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("x@sha256:abc", "invalid reference format"),
        ("https://github.com/docker/docker", "invalid reference format"),
        ("foo.example.com/", "invalid reference format"),
        ("../etc/passwd", "invalid reference format"),
        ("aa/asdf$$^/aa", "invalid reference format"),
        (
            "Foo/bar:latest/x",
            "invalid reference format",
        ),
        (
            "busyBox",
            "invalid reference format: repository name (library/busyBox) must be lowercase",
        ),
        (
            "127.0.0.1/A:b",
            "invalid reference format: repository name (A) must be lowercase",
        ),
        (
            ID,
            f"invalid repository name ({ID}), cannot specify 64-byte hexadecimal strings",
        ),
        ("a/" * 127 + "a", None),
        ("a/" * 128 + "a", "repository name must not be more than 255 characters"),
        (f"x@sha256:{'A' * 64}", "invalid checksum digest format"),
        (f"x@sha256:{'a' * 65}", "invalid checksum digest length"),
        (f"x@md5:{'a' * 32}", "unsupported digest algorithm"),
    ],
)
def test_what_is_no_reference_is_refused_in_dockers_words(text, message):
    if message is None:
        assert len(Reference.parse(text).path) == 255
        return
    with pytest.raises(InvalidParameter) as caught:
        Reference.parse(text)

    assert str(caught.value) == message


def test_tag_digest_and_default():
    name = Reference.parse("app")
    digest = Digest.parse(SHA)

    assert name.is_name_only
    assert name.with_default_tag() == Reference.parse("app:latest")
    assert name.with_tag("v2").familiar == "app:v2"
    assert name.with_tag("v2").with_digest(digest) == Reference.parse(f"app@{SHA}")
    assert name.with_digest(digest).with_default_tag() == Reference.parse(f"app@{SHA}")
    with pytest.raises(InvalidParameter, match="^invalid tag format$"):
        name.with_tag(".x")


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_refused_and_what_is_parsed_reads_back_the_same(text):
    try:
        reference = Reference.parse(text)
    except InvalidParameter:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
    assert ".." not in reference.path.split("/")


@given(st.from_regex(r"[a-zA-Z0-9.:/@_-]{1,60}", fullmatch=True))
def test_reference_like_text_reads_back_the_same(text):
    try:
        reference = Reference.parse(text)
    except InvalidParameter:
        return
    assert Reference.parse(reference.familiar) == reference
