"""``pull`` and ``push``."""

import sys
from typing import TextIO

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.images import check_reference, platform_json, split_tag
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.progress import show_progress
from cutaway.cli.settings.credentials import TRUST_FLAGS, auth_header, trust_headers
from cutaway.client.http import quote

_PULL_FLAGS = """
-a, --all-tags                Download all tagged images in the repository
    --disable-content-trust   Skip image verification (default true)
    --platform string         Set platform if server is multi-platform capable
-q, --quiet                   Suppress verbose output
"""
_EXPLAIN = "    --explain                 Say each request and each decision\n"
_PUSH_FLAGS = r"""
-a, --all-tags                Push all tags of an image to the repository
    --disable-content-trust   Skip image signing (default true)
    --platform string         Push a platform-specific manifest as a single-platform image to the registry.\nImage index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)
-q, --quiet                   Suppress verbose output
"""  # noqa: E501 - one flag a line


def pull_image(
    context: Context,
    reference: str,
    *,
    platform: str,
    out: TextIO | None,
    all_tags: bool = False,
    flags: Values | None = None,
) -> None:
    """Pull one image, showing progress on ``out`` (None: silently).

    Args:
        context: of the command.
        reference: its name.
        platform: ``os/arch``; empty: this machine's.
        out: where progress is shown.
        all_tags: every tag of the repository.
        flags: of ``pull``, for what ``run`` has not.

    Raises:
        StreamedError: the pull failed half way.
        ApiError: the engine refused it at once.
    """
    repository, digest_mark, digest = reference.partition("@")
    name, tag = split_tag(repository)
    tag = digest if digest_mark else tag or ("" if all_tags else "latest")
    response = context.client.request(
        "POST",
        "/images/create",
        query={
            "fromImage": name,
            "tag": tag or None,
            "platform": platform or None,
            "explain": flags["explain"] or None if flags else None,
            "all-platforms": flags["all-platforms"] or None if flags else None,
        },
        headers=auth_header(reference, context.config_dir)
        | (trust_headers(flags["tls-verify"], flags["ca"]) if flags else {}),
    )
    show_progress(response.documents(), out)


def pull(context: Context, flags: Values, arguments: list[str]) -> int:
    """Pull an image and print its full name."""
    reference = arguments[0]
    check_reference(reference)
    name, tag = split_tag(reference.partition("@")[0])
    if flags["all-tags"] and (tag or "@" in reference):
        raise UsageError("tag can't be used with --all-tags/-a")
    if not (flags["all-tags"] or tag or "@" in reference):
        if not flags["quiet"]:
            print("Using default tag: latest")
        reference = f"{name}:latest"
    sys.stdout.flush()
    pull_image(
        context,
        reference,
        platform=flags["platform"],
        out=None if flags["quiet"] else sys.stdout,
        all_tags=flags["all-tags"],
        flags=flags,
    )
    print(full_name(reference))
    return 0


def full_name(reference: str) -> str:
    """Write a reference with its registry: ``busybox`` becomes ``docker.io/library/busybox``."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def push(context: Context, flags: Values, arguments: list[str]) -> int:
    """Push an image to the registry that its name begins with."""
    check_reference(arguments[0])
    name, tag = split_tag(arguments[0])
    if flags["all-tags"] and tag:
        raise UsageError("tag can't be used with --all-tags/-a")
    if not flags["all-tags"] and not tag:
        tag = "latest"
        if not flags["quiet"]:
            print("Using default tag: latest")
    platform = platform_json(flags["platform"]) if flags["platform"] else None
    response = context.client.request(
        "POST",
        f"/images/{quote(name)}/push",
        query={"tag": tag or None, "platform": platform, "explain": flags["explain"] or None},
        headers=auth_header(name, context.config_dir)
        | trust_headers(flags["tls-verify"], flags["ca"]),
    )
    show_progress(response.documents(), None if flags["quiet"] else sys.stdout)
    if flags["quiet"]:
        print(full_name(f"{name}:{tag}" if tag else name))
    return 0


COMMANDS = (
    Command(
        "pull",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        "Download an image from a registry",
        pull,
        flags=_PULL_FLAGS
        + _EXPLAIN
        + TRUST_FLAGS
        + "    --all-platforms   Keep the images of all platforms, not this machine's only\n",
        at_least=1,
        at_most=1,
        aliases=("image pull",),
    ),
    Command(
        "push",
        "[OPTIONS] NAME[:TAG]",
        "Upload an image to a registry",
        push,
        flags=_PUSH_FLAGS + _EXPLAIN + TRUST_FLAGS,
        at_least=1,
        at_most=1,
        aliases=("image push",),
    ),
)
