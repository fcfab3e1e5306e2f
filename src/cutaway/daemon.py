"""``cutawayd``: build the parts of an engine, join them, and serve until told to stop.

Stopping the engine stops no container: each belongs to its shim (``--live-restore`` is always on).
"""

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ssl import SSLContext

from cutaway import __version__
from cutaway.api.backend import Backends
from cutaway.api.server import Server
from cutaway.api.tls import make_server_context
from cutaway.engine import reconcile
from cutaway.engine.building.run import sweep_builds
from cutaway.engine.building.service import BuildService
from cutaway.engine.configuration.directives import (
    CommandLine,
    load_settings,
    parse_command_line,
    usage,
)
from cutaway.engine.configuration.settings import BadSettings, DaemonSettings, instance_name
from cutaway.engine.containers.service import ContainerService
from cutaway.engine.core import Core
from cutaway.engine.events import EventBus
from cutaway.engine.images import ImageService, ManifestService
from cutaway.engine.launching import Launcher
from cutaway.engine.networking.own import OwnNetworkService
from cutaway.engine.networking.recovery import settle_networks
from cutaway.engine.networking.service import NetworkService
from cutaway.engine.paths import Paths
from cutaway.engine.running import resuming
from cutaway.engine.running.execs import ExecService
from cutaway.engine.running.holding import let_go
from cutaway.engine.store import Store
from cutaway.engine.system.machine import probe_machine, read_engine_id
from cutaway.engine.system.reloading import reload
from cutaway.engine.system.reserve import DiskReserve
from cutaway.engine.system.service import SystemService
from cutaway.engine.system.upkeep import keep_up
from cutaway.engine.volumes.own import OwnVolumeService
from cutaway.engine.volumes.service import VolumeService
from cutaway.errors import Conflict, CutawayError
from cutaway.files import FileLock, sweep_temporaries, write_json
from cutaway.images.snapshots import Snapshots, Trash
from cutaway.images.store import ImageStore
from cutaway.images.worker_process import end_workers
from cutaway.linux.storage import spread_out
from cutaway.network import AddressPool, Controller, NetworkSettings
from cutaway.network.settings import DEFAULT_BRIDGE, DEFAULT_POOLS
from cutaway.plugins import PluginDirectories, PluginRegistry
from cutaway.volumes import VolumeStore

log = logging.getLogger("cutaway.daemon")
_LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}
_FIRST_INHERITED_FD = 3
_LOCK_PATIENCE_S = 1.0
_LOCK_POLL_S = 0.01
_THREADS_PATIENCE_S = 3.0
_SHORT_THREADS = 8
_LONG_THREADS = 128


def main() -> None:
    """Run the daemon and end the process: 0 after SIGTERM, 1 when it could not start."""
    status = serve(sys.argv[1:])
    if _threads_end():
        sys.exit(status)
    log.warning("leaving work undone that the kernel does not let go of")
    os._exit(status)


def _threads_end() -> bool:
    """Wait a moment for threads, as Python would forever; say whether all have ended.

    A file server that does not answer holds mount(2), and its thread, for minutes. What was begun
    there is for the next engine, as after a SIGKILL.
    """
    deadline = time.monotonic() + _THREADS_PATIENCE_S
    others = [t for t in threading.enumerate() if not (t is threading.main_thread() or t.daemon)]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in others)


def serve(arguments: Sequence[str]) -> int:
    """Run the daemon; return its exit status."""
    try:
        command_line = parse_command_line(arguments)
        if command_line.help or command_line.version:
            sys.stdout.write(usage() if command_line.help else _version())
            return 0
        settings = load_settings(command_line)
    except BadSettings as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if command_line.validate_only:
        sys.stdout.write("configuration OK\n")
        return 0
    set_up_logging(settings)
    lock = FileLock(settings.lock_path)
    try:
        make_roots(settings)
        if not _take(lock):
            raise Conflict(
                f"failed to start daemon: another engine holds {settings.lock_path}: stop it, or "
                "give this one its own --pidfile, --data-root and --exec-root"
            )
        asyncio.run(run(settings, command_line))
    except (CutawayError, OSError) as error:
        log.error("failed to start daemon: %s", error)
        return 1
    finally:
        lock.release()
    return 0


def _take(lock: FileLock) -> bool:
    """Take the lock; an engine that was killed just now may have left it for a moment.

    A program it was starting holds copies of its descriptors until execve(2) closes them.
    """
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while not lock.acquire(f"{os.getpid()}\n".encode()):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOCK_POLL_S)
    return True


def _version() -> str:
    return f"Docker version {__version__}, build cutaway\n"


def set_up_logging(settings: DaemonSettings) -> None:
    """Send the log to stderr, as dockerd does."""
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    if settings.log_format == "json":
        text = (
            '{"time":"%(asctime)s","level":"%(levelname)s","logger":"%(name)s","msg":"%(message)s"}'
        )
    logging.basicConfig(level=_level(settings), format=text, stream=sys.stderr, force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def _level(settings: DaemonSettings) -> int:
    return logging.DEBUG if settings.debug else _LEVELS[settings.log_level]


def _reload(core: Core, command_line: CommandLine) -> None:
    if reload(core, command_line):
        logging.getLogger().setLevel(_level(core.settings))


def make_roots(settings: DaemonSettings) -> None:
    """Make the two roots and what lies directly in them, with modes that let no user in.

    The data root is 0710 and everything in it 0700 (CVE-2021-41091).
    """
    paths = Paths(settings.data_root, settings.exec_root)
    os.makedirs(settings.data_root, exist_ok=True)
    os.chmod(settings.data_root, 0o710)
    os.makedirs(settings.exec_root, exist_ok=True)
    os.chmod(settings.exec_root, 0o711)
    os.makedirs(os.path.dirname(settings.lock_path), exist_ok=True)
    for directory in (paths.containers, paths.bundles):
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o700)
        spread_out(directory)


async def run(settings: DaemonSettings, command_line: CommandLine) -> None:
    """Build an engine, serve it, and return after SIGTERM or SIGINT; SIGHUP reloads.

    Raises:
        CutawayError, OSError: it could not start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    core = build_core(settings)
    loop.add_signal_handler(signal.SIGHUP, _reload, core, command_line)
    server = build_server(core)
    try:
        await recover(core)
        listen(server, settings)
        upkeep = core.spawn(keep_up(core), "upkeep")
        log.info("API listen on %s", ", ".join(settings.listen_on))
        await stopping.wait()
        upkeep.cancel()
    finally:
        await shut_down(core, server)


def build_core(settings: DaemonSettings) -> Core:
    """Make the parts of an engine; nothing of the host is changed yet but its own files."""
    paths = Paths(settings.data_root, settings.exec_root)
    short = ThreadPoolExecutor(_SHORT_THREADS, thread_name_prefix="cutaway")
    sweep_temporaries(settings.data_root)
    reserve = DiskReserve(f"{settings.data_root}/reserve")
    store = Store(paths.database, short, make_room=reserve.release)
    reserve.fill()
    snapshots = Snapshots(f"{settings.data_root}/snapshots")
    plugins = PluginRegistry(PluginDirectories(settings.plugin_sockets))
    return Core(
        settings=settings,
        machine=probe_machine(),
        paths=paths,
        store=store,
        bus=EventBus(store),
        images=ImageStore(settings.data_root, snapshots, make_room=reserve.release),
        reserve=reserve,
        snapshots=snapshots,
        trash=Trash(paths.trash),
        bundle_trash=Trash(paths.bundle_trash),
        plugins=plugins,
        network=Controller(store, network_settings(settings), plugins),
        volumes=VolumeStore(f"{settings.data_root}/volumes", plugins),
        executor=short,
        transfers=ThreadPoolExecutor(_LONG_THREADS, thread_name_prefix="cutaway-long"),
        loop=asyncio.get_running_loop(),
        launcher=Launcher(
            lambda identifier: log.debug("the shim of %s has ended", identifier),
            seccomp_directory=f"{settings.exec_root}/seccomp",
        ),
    )


def network_settings(settings: DaemonSettings) -> NetworkSettings:
    """Say to the network controller what the daemon was told about networks."""
    pools = tuple(
        AddressPool.parse(pool.base, pool.size) for pool in settings.default_address_pools
    )
    return NetworkSettings(
        run_directory=f"{settings.exec_root}/network",
        instance=instance_name(settings),
        bridge=settings.bridge or DEFAULT_BRIDGE,
        bip=settings.bip or None,
        bip6=settings.bip6 or None,
        fixed_cidr=settings.fixed_cidr or None,
        fixed_cidr_v6=settings.fixed_cidr_v6 or None,
        default_gateway=settings.default_gateway or None,
        default_gateway_v6=settings.default_gateway_v6 or None,
        mtu=settings.mtu or None,
        icc=settings.icc,
        ip_masq=settings.ip_masq,
        ip_forward=settings.ip_forward,
        ipv6=settings.ipv6,
        host_address=settings.ip,
        host_gateways=settings.host_gateway_ips,
        publish_mode=settings.publish_mode,
        default_address_pools=pools or DEFAULT_POOLS,
        dns=settings.dns,
        dns_search=settings.dns_search,
        dns_options=settings.dns_opts,
    )


def build_server(core: Core) -> Server:
    """Join the engine's services with the API."""
    images = ImageService(core)
    identifier = engine_id(core.paths.engine_id)
    builds = BuildService(core, images)
    backends = Backends(
        containers=ContainerService(core),
        execs=ExecService(core),
        images=images,
        system=SystemService(core, images, identifier, builds=builds),
        networks=NetworkService(core),
        volumes=VolumeService(core),
        builds=builds,
        own_networks=OwnNetworkService(core),
        own_volumes=OwnVolumeService(core),
        own_images=images,
        manifests=ManifestService(core),
    )
    return Server(
        backends, product=f"cutaway/{__version__}", experimental=core.settings.experimental
    )


def engine_id(path: str) -> str:
    """Return the engine's own id, made at its first start."""
    known = read_engine_id(path)
    if known is None:
        known = str(uuid.uuid4())
        write_json(path, {"version": 1, "id": known})
    return known


async def recover(core: Core) -> None:
    """Find the containers of the engine before, put the network in order, sweep."""
    reconcile.load(core)
    await reconcile.reconnect(core)
    core.network.start(reconcile.live_namespaces(core))
    settle_networks(core)
    core.launcher.start()
    await reconcile.settle(core)
    await let_go(core)
    await reconcile.sweep(core)
    sweep_builds(core)
    await core.in_thread(collect_images, core)
    core.empty_trash_soon()
    resuming.resume_after_losses(core)
    core.spawn(resuming.resume_all(core), "starting containers by their restart policy")


def collect_images(core: Core) -> None:
    """Take away layers that a dead engine unpacked and gave to no image; before anybody pulls."""
    try:
        core.images.collect_garbage()
    except (CutawayError, OSError) as error:
        log.warning("images: what is left over stays for now: %s", error)


def listen(server: Server, settings: DaemonSettings) -> None:
    """Open every socket of ``-H``.

    Raises:
        BadSettings: a form that is not known. Conflict: another engine answers there.
    """
    for host in settings.listen_on:
        scheme, separator, address = host.partition("://")
        if not separator:
            scheme, address = ("unix", host) if host.startswith("/") else ("tcp", host)
        if scheme == "unix":
            server.listen_unix(address, group=settings.group)
        elif scheme == "tcp":
            _listen_tcp(server, address, settings)
        elif scheme == "fd":
            for inherited in inherited_sockets():
                server.listen_inherited(inherited)
        else:
            raise BadSettings(f"invalid bind address: {host}: expected unix://, tcp:// or fd://")


def _listen_tcp(server: Server, address: str, settings: DaemonSettings) -> None:
    name, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise BadSettings(f"invalid bind address: tcp://{address}: expected HOST:PORT")
    tls: SSLContext | None = None
    if settings.tls or settings.tlsverify:
        tls = make_server_context(
            certificate=settings.tlscert,
            key=settings.tlskey,
            client_ca=settings.tlscacert if settings.tlsverify else None,
        )
    server.listen_tcp(name.strip("[]") or "127.0.0.1", int(port), tls=tls)


def inherited_sockets() -> list[socket.socket]:
    """Return the sockets that systemd handed over (sd_listen_fds(3)).

    Raises:
        BadSettings: it handed over none.
    """
    count = int(os.environ.get("LISTEN_FDS", "0"))
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or count < 1:
        raise BadSettings(
            "no sockets found via socket activation: make sure the service was started by systemd"
        )
    sockets = []
    for fd in range(_FIRST_INHERITED_FD, _FIRST_INHERITED_FD + count):
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        sockets.append(socket.socket(fileno=fd))
    return sockets


def _free_threads(core: Core) -> None:
    """End what threads may be waiting for, so that they see their requests' end."""
    end_workers()
    core.plugins.close()


async def shut_down(core: Core, server: Server) -> None:
    """Stop serving and let go of everything; containers run on."""
    log.info("stopping; containers keep running")
    core.bus.close()
    await server.close(before_cut=partial(_free_threads, core))
    for task in list(core.tasks):
        task.cancel()
    for container in core.containers:
        if container.shim is not None:
            container.shim.close()
    core.launcher.close()
    core.network.close()
    core.transfers.shutdown(wait=False, cancel_futures=True)
    core.executor.shutdown(wait=True, cancel_futures=True)
    core.store.close()


if __name__ == "__main__":
    main()
