"""RUN: from a vertex to a command with its mounts, locks, secrets and agents in place."""

import contextlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from cutaway.build.errors import BuildError
from cutaway.build.graph import MountSpec, RunCommand
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.cache_mounts import CacheMounts, Fill
from cutaway.build.solve.executor import ExecMount, Execution, Executor
from cutaway.build.solve.progress import VertexLog
from cutaway.images.mount import Mount
from cutaway.images.snapshots import Snapshots
from cutaway.images.trees.mount_stubs import remove_mount_stubs
from cutaway.images.trees.tree import Tree, copy_directory

WORKING_PREFIX = "build-"  # of the keys of snapshots that live only while a build does
INSECURE, HOST_NETWORK = "security.insecure", "network.host"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettings:
    """What a build's request says about its commands.

    Attributes:
        limits: HostConfig's resource fields.
        extra_hosts: ``name:address``.
        secrets: content by id.
        agents: path of an SSH agent's socket by id.
        entitlements: of ``--allow``: what else a Dockerfile may ask for.
        offers_shell: a failed command is followed by a shell in its place.
    """

    limits: Mapping[str, object] = field(default_factory=dict)
    extra_hosts: tuple[str, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)
    entitlements: frozenset[str] = frozenset()
    offers_shell: bool = False


class CommandRunner:
    """Runs the commands of one build."""

    def __init__(
        self,
        snapshots: Snapshots,
        executor: Executor,
        cache_mounts: CacheMounts,
        settings: CommandSettings,
    ) -> None:
        self._snapshots = snapshots
        self._executor = executor
        self._cache_mounts = cache_mounts
        self._settings = settings

    async def run(
        self, vertex: RunCommand, key: str, sources: tuple[str, ...], log: VertexLog
    ) -> None:
        """Run a command on an active snapshot.

        Args:
            vertex: the command.
            key: of the snapshot that is its root.
            sources: snapshots of its mounts' origins, in order.
            log: told what it prints.

        Raises:
            BuildError: it failed, or asks for what was not allowed or not given.
        """
        self._check(vertex)
        async with contextlib.AsyncExitStack() as stack:
            execution = await self._prepare(vertex, key, sources, stack)
            code = await self._executor.run(execution, started=log.run_in, output=log.write)
            if code and self._settings.offers_shell:
                await self._executor.open_shell(execution, offered=log.offer_shell)
        if code:
            command = " ".join(vertex.args)
            raise BuildError(f"The command '{command}' returned a non-zero code: {code}", code=code)
        targets = [mount.target for mount in execution.mounts]
        await run_to_end(remove_mount_stubs, self._snapshots, key, targets)

    def _check(self, vertex: RunCommand) -> None:
        wanted = INSECURE if vertex.security == "insecure" else ""
        if vertex.asks_for_host_network:
            wanted = HOST_NETWORK
        if wanted and wanted not in self._settings.entitlements:
            raise BuildError(f"{wanted} is not allowed: build with --allow {wanted}")

    async def _prepare(
        self,
        vertex: RunCommand,
        key: str,
        sources: tuple[str, ...],
        stack: contextlib.AsyncExitStack,
    ) -> Execution:
        names = iter(sources)
        env = [*vertex.env, *vertex.hidden_env]
        mounts = []
        for mount in vertex.mounts:
            origin = next(names) if mount.origin is not None else None
            resolved = await self._mount(mount, origin, env, stack)
            if resolved is not None:
                mounts.append(resolved)
        settings = self._settings
        return Execution(
            snapshot_key=key,
            args=vertex.args,
            env=tuple(env),
            cwd=vertex.cwd,
            user=vertex.user,
            mounts=tuple(mounts),
            network=vertex.network,
            is_privileged=vertex.security == "insecure",
            extra_hosts=settings.extra_hosts,
            limits=settings.limits,
        )

    async def _mount(
        self,
        mount: MountSpec,
        origin: str | None,
        env: list[str],
        stack: contextlib.AsyncExitStack,
    ) -> ExecMount | None:
        if mount.kind == "tmpfs":
            return ExecMount("tmpfs", mount.target, size_bytes=mount.size_bytes)
        if mount.kind == "secret":
            return self._secret(mount, env)
        if mount.kind == "ssh":
            return self._agent(mount, env)
        if mount.kind == "cache":
            fill = None if origin is None else self._filling(origin, mount.source)
            directory = await stack.enter_async_context(self._cache_mounts.use(mount, fill))
            return ExecMount(
                "cache",
                mount.target,
                directory=directory,
                source="" if origin is not None else mount.source.strip("/"),
                read_only=mount.read_only,
            )
        return ExecMount(
            "bind",
            mount.target,
            tree=await self._tree(origin, stack, is_read_only=mount.read_only),
            source=mount.source.strip("/"),
            read_only=mount.read_only,
        )

    async def _tree(
        self, origin: str | None, stack: contextlib.AsyncExitStack, *, is_read_only: bool
    ) -> tuple[Mount, ...]:
        """Return what to mount to see an origin; what is written to it is forgotten."""
        snapshots = self._snapshots
        is_committed = not origin or snapshots.stat(origin).kind == "committed"
        if origin and not is_committed and is_read_only:
            return snapshots.mounts(origin)
        key = f"{WORKING_PREFIX}view-{uuid.uuid4().hex}"
        prepare = snapshots.view if origin and is_read_only else snapshots.prepare
        tree = await run_to_end(prepare, key, (origin or None) if is_committed else None)
        stack.callback(snapshots.remove, key)
        # What the client sent is not committed: nothing can be stacked on it by name.
        return tree if origin is None or is_committed else _on_top(snapshots, key, origin)

    def _filling(self, origin: str, source: str) -> Fill:
        def fill(directory: str) -> None:
            target = Tree.of_directory(self._snapshots, directory)
            copy_directory(Tree.of_snapshot(self._snapshots, origin), source, target)

        return fill

    def _agent(self, mount: MountSpec, env: list[str]) -> ExecMount | None:
        agent = self._settings.agents.get(mount.identifier or "default")
        if agent is None:
            if mount.required:
                raise BuildError(
                    f"no SSH agent {mount.identifier or 'default'} was lent: build with "
                    f"--ssh {mount.identifier or 'default'}"
                )
            return None
        if not any(item.startswith("SSH_AUTH_SOCK=") for item in env):
            env.append(f"SSH_AUTH_SOCK={mount.target}")
        return ExecMount(
            "agent",
            mount.target,
            directory=agent,
            mode=0o600 if mount.mode is None else mount.mode,
            uid=mount.uid or 0,
            gid=mount.gid or 0,
        )

    def _secret(self, mount: MountSpec, env: list[str]) -> ExecMount | None:
        identity = mount.identifier or mount.source or os.path.basename(mount.target)
        content = self._settings.secrets.get(identity)
        if content is None:
            if mount.required:
                raise BuildError(
                    f"secret {identity}: not found: build with --secret id={identity},…"
                )
            return None
        if mount.env:
            env.append(f"{mount.env}={content.decode('utf-8', 'surrogateescape')}")
        if not mount.target:
            return None
        return ExecMount(
            "file",
            mount.target,
            content=content,
            read_only=True,
            mode=0o400 if mount.mode is None else mount.mode,
            uid=mount.uid or 0,
            gid=mount.gid or 0,
        )


def _on_top(snapshots: Snapshots, key: str, below: str) -> tuple[Mount, ...]:
    """Return the mount of an empty active snapshot's changes on top of another active one."""
    upper = snapshots.directory(key)
    options = (
        f"lowerdir={snapshots.directory(below)}",
        f"upperdir={upper}",
        f"workdir={os.path.dirname(upper)}/work",
        "index=off",
        "metacopy=off",
    )
    return (Mount("overlay", "overlay", options),)
