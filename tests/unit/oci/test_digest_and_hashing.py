"""Digests are safe to be a file's name; chain ids are those of the image-spec."""

import hashlib

import pytest

from cutaway.errors import InvalidParameter
from cutaway.oci import Digest
from cutaway.oci.hashing import chain_ids, digest_of


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:../../../../etc/passwd",
        "sha256:" + "g" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "a" * 64 + "\n",
        "sha512:" + "a" * 64,
        "md5:" + "a" * 32,
        "SHA256:" + "a" * 64,
        "/sha256:" + "a" * 64,
        "sha256:" + "a" * 62 + "/a",
    ],
)
def test_a_digest_that_could_be_a_path_is_refused(text):
    with pytest.raises(InvalidParameter):
        Digest.parse(text)


def test_a_digest_has_parts():
    digest = Digest.parse("sha512:" + "0f" * 64)

    assert digest.algorithm == "sha512"
    assert digest.encoded == "0f" * 64
    assert digest.short == "0f" * 6


def test_chain_ids_follow_the_specification():
    diff_ids = [digest_of(b"a"), digest_of(b"b"), digest_of(b"c")]

    first, second, third = chain_ids(diff_ids)

    assert first == diff_ids[0]
    expected = hashlib.sha256(f"{diff_ids[0]} {diff_ids[1]}".encode()).hexdigest()
    assert second == f"sha256:{expected}"
    assert third == digest_of(f"{second} {diff_ids[2]}".encode())
    assert chain_ids([]) == ()
