"""Removing trees that somebody else built: as deep, wide and twisted as they like.

``shutil.rmtree`` recurses once a level and gives up at a depth of about a thousand; a layer can
be deeper. Here a full directory that is met is moved up beside the tree's top, so the depth is
one, always, and only two descriptors are open.
"""

import errno
import itertools
import os

_SERIAL = itertools.count()


def remove_tree(parent_fd: int, name: bytes) -> None:
    """Remove ``name`` in the directory ``parent_fd``, whatever it is; no error if it is gone.

    Links are removed, not followed; another file system mounted inside is an error (EBUSY).

    Raises:
        OSError: EBUSY (a mount point inside), EPERM (immutable), EROFS.
    """
    try:
        os.unlink(name, dir_fd=parent_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass  # unlink(2) of a directory: EISDIR here, EPERM by POSIX
    pending = [name]
    while pending:
        directory = pending.pop()
        _empty(parent_fd, directory, pending)
        os.rmdir(directory, dir_fd=parent_fd)


def _empty(parent_fd: int, directory: bytes, pending: list[bytes]) -> None:
    """Remove what is in ``directory``; move its full subdirectories beside it into ``pending``."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent_fd)
    try:
        with os.scandir(fd) as entries:
            names = [(os.fsencode(e.name), e.is_dir(follow_symlinks=False)) for e in entries]
        for name, is_directory in names:
            if not is_directory:
                os.unlink(name, dir_fd=fd)
            elif not _remove_empty(fd, name):
                moved = _free_name(parent_fd)
                os.rename(name, moved, src_dir_fd=fd, dst_dir_fd=parent_fd)
                pending.append(moved)
    finally:
        os.close(fd)


def _remove_empty(fd: int, name: bytes) -> bool:
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _free_name(parent_fd: int) -> bytes:
    """Return a name that nothing in ``parent_fd`` has."""
    while True:
        candidate = b".removing-%d-%d" % (os.getpid(), next(_SERIAL))
        try:
            os.stat(candidate, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return candidate
