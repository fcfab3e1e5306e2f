"""COPY and ADD: from their words to a ``CopyFiles`` vertex. Pure."""

import re
from collections.abc import Callable

from cutaway.build.dockerfile.instructions import Copy
from cutaway.build.dockerfile.lines import Heredoc
from cutaway.build.errors import BuildError
from cutaway.build.graph import Context, CopyFiles, CopySource, Git, Inline, Remote, Vertex
from cutaway.errors import InvalidParameter

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_MODE = re.compile(r"0?[0-7]{1,4}|[ugoa]*[-+=][rwxXst]*(,[ugoa]*[-+=][rwxXst]*)*")


def plan_copy(
    copy: Copy,
    *,
    base: Vertex,
    origin: Vertex,
    cwd: str,
    expand: Callable[[str], str],
    expand_document: Callable[[str], str],
    epoch: int | None,
) -> CopyFiles:
    """Return the vertex of a COPY or ADD.

    Args:
        copy: the instruction.
        base: the file system so far.
        origin: what plain source paths are below.
        cwd: WORKDIR; a relative destination is below it.
        expand: expands variables of one word.
        expand_document: the same in a heredoc, whose quotes and escapes are its own.
        epoch: SOURCE_DATE_EPOCH.

    Raises:
        BuildError: a path outside the context, or several sources for one file.
        InvalidParameter: a mode or checksum that can't be.
    """
    keyword = "ADD" if copy.is_add else "COPY"
    documents = {doc.raw: _inline(doc, expand_document) for doc in copy.heredocs}
    sources = tuple(
        documents.get(text) or _source(copy, text, origin, expand) for text in copy.sources
    )
    destination = expand(copy.destination)
    is_directory = destination.endswith("/") or destination in {".", ".."}
    if len(sources) > 1 and not is_directory:
        raise BuildError(
            f"When using {keyword} with more than one source file, "
            "the destination must be a directory and end with a /"
        )
    mode, checksum = expand(copy.chmod), expand(copy.checksum)
    if mode and not _MODE.fullmatch(mode):
        raise InvalidParameter(
            f"invalid chmod parameter: '{mode}'. it should be octal string and between 0 and 07777"
        )
    if checksum:
        sources = _with_checksum(sources, checksum)
    path = _absolute(cwd, destination)
    local = all(isinstance(s.origin, Context) for s in sources)
    return CopyFiles(
        base=base,
        sources=sources,
        destination=path.rstrip("/") + "/" if is_directory else path,
        owner=expand(copy.chown),
        mode=mode,
        unpack=copy.unpack if copy.unpack is not None else copy.is_add and local,
        parents=copy.parents,
        exclude=tuple(map(expand, copy.exclude)),
        link=copy.link,
        epoch=epoch,
    )


def _absolute(cwd: str, path: str) -> str:
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{cwd}/{path}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def _inline(document: Heredoc, expand: Callable[[str], str]) -> CopySource:
    content = expand(document.content) if document.expand else document.content
    return CopySource(Inline(document.name, content), document.name)


def _source(copy: Copy, text: str, origin: Vertex, expand: Callable[[str], str]) -> CopySource:
    path = expand(text)
    if copy.is_add:
        fetched = _fetched(copy, path)
        if fetched is not None:
            return fetched
    if not path:
        raise InvalidParameter("a source path is empty: a variable in it has no value")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if _leaves(parts):
        keyword = "ADD" if copy.is_add else "COPY"
        raise BuildError(f"{keyword} failed: forbidden path outside the build context: {path} ()")
    # A trailing slash or dot means the directory's contents, as without: docker copies contents.
    return CopySource(origin, "/".join(parts), _pivot(path) if copy.parents else 0)


def _pivot(path: str) -> int:
    """Return how many directories stand before ``/./``, which ``--parents`` does not keep."""
    before, pivot, _ = path.partition("/./")
    parts = [part for part in before.split("/") if part not in {"", "."}]
    if pivot and "**" in parts:
        raise InvalidParameter(f"** can't stand before the /./ of --parents: {path}")
    return len(parts) if pivot else 0


def _leaves(parts: list[str]) -> bool:
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _fetched(copy: Copy, path: str) -> CopySource | None:
    address, _, fragment = path.partition("#")
    is_git = address.startswith(("git://", "git@", "ssh://git@")) or (
        address.startswith(("http://", "https://")) and address.endswith(".git")
    )
    if is_git:
        ref, _, subdirectory = fragment.partition(":")
        return CopySource(Git(address, ref, subdirectory, copy.keep_git_dir), "")
    if address.startswith(("http://", "https://")):
        return CopySource(Remote(path), "*")  # one file, whose name the server may have a say in
    return None


def _with_checksum(sources: tuple[CopySource, ...], checksum: str) -> tuple[CopySource, ...]:
    if not _CHECKSUM.fullmatch(checksum):
        raise InvalidParameter(f"checksum must be sha256:HEX (or sha384, sha512), not {checksum}")
    if not all(isinstance(source.origin, Remote) for source in sources):
        raise InvalidParameter("checksum can't be specified for non-HTTP(S) sources")
    return tuple(
        CopySource(Remote(source.origin.url, checksum), source.pattern)
        for source in sources
        if isinstance(source.origin, Remote)
    )
