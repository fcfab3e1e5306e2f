"""nginx, PostgreSQL and redis as Debian has them, as three images: a real application for tests.

One root file system with the packages is made by mmdebstrap and kept for later runs; the images
share it as their first layer and differ in a second one with their entry script.
"""

import io
import os
import tarfile
from pathlib import Path

from support.debian import debian_root
from support.images import ArchiveImage, write_archive

PACKAGES = ("adduser", "nginx-light", "postgresql", "python3", "redis-server")
_EMPTIED = "/var/cache/apt /var/lib/apt/lists /var/lib/postgresql/15/main /var/log/nginx"

POSTGRES_ENTRY = """\
#!/bin/sh
# Makes the database on the first start, as the server's user, then becomes the server.
set -e
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /run/postgresql
    chown postgres:postgres "$PGDATA" /run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
PATH=/usr/lib/postgresql/15/bin:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}"
    echo "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D "$PGDATA" -U postgres --auth=scram-sha-256 --pwfile=/tmp/password --no-sync
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
exec "$@"
"""

REDIS = (100, 102)  # the package's user and group

# What the images on a hub have, in the words of a Dockerfile.
_IMAGES = {
    "nginx": {
        "Cmd": ["nginx", "-g", "daemon off;"],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    },
    "postgres": {
        "Entrypoint": ["/usr/local/bin/entry"],
        "Cmd": ["postgres", "-c", "listen_addresses=*", "-c", "fsync=off"],
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            ":/usr/lib/postgresql/15/bin",
            "PGDATA=/var/lib/postgresql/data",
        ],
        "ExposedPorts": {"5432/tcp": {}},
        "StopSignal": "SIGINT",
        "Volumes": {"/var/lib/postgresql/data": {}},
    },
    "redis": {
        "Cmd": ["redis-server", "--protected-mode", "no"],
        "ExposedPorts": {"6379/tcp": {}},
        "User": "redis",
        "Volumes": {"/data": {}},
        "WorkingDir": "/data",
    },
}


def _root_layer() -> bytes:
    hook = f'cd "$1" && for d in {_EMPTIED}; do rm -rf ".$d"/*; done'
    return debian_root("application", PACKAGES, hooks=(hook,)).read_bytes()


def _entry_layer(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        if name == "redis":
            info = tarfile.TarInfo("data")
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o755, *REDIS
            tar.addfile(info)
        elif name == "postgres":
            info = tarfile.TarInfo("usr/local/bin/entry")
            info.mode, info.size = 0o755, len(POSTGRES_ENTRY)
            tar.addfile(info, io.BytesIO(POSTGRES_ENTRY.encode()))
        else:
            for stream in ("access", "error"):
                info = tarfile.TarInfo(f"var/log/nginx/{stream}.log")
                device = "/dev/stdout" if stream == "access" else "/dev/stderr"
                info.type, info.linkname = tarfile.SYMTYPE, device
                tar.addfile(info)
    return out.getvalue()


def application_archive(directory: Path) -> Path:
    """Make (once a directory) the archive of nginx, postgres and redis."""
    path = directory / "application.tar"
    if not path.exists():
        root = _root_layer()
        images = (
            ArchiveImage(f"{name}:latest", [root, _entry_layer(name)], config)
            for name, config in _IMAGES.items()
        )
        temporary = path.with_suffix(f".{os.getpid()}")
        write_archive(temporary, *images)
        temporary.rename(path)
    return path
