"""A machine to make networks on: namespaces for the host, a neighbour on its LAN, containers."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from cutaway.network import (
    Controller,
    EndpointRequest,
    MemoryStore,
    NetworkSettings,
    PortRequest,
    Sandbox,
    SandboxRequest,
)
from cutaway.steps import Ledger
from support.netns import Namespace
from support.waiting import eventually

HOST_ADDRESS = "10.99.0.1"
NEIGHBOUR_ADDRESS = "10.99.0.2"
HOST_ADDRESS_V6 = "fd99::1"
NEIGHBOUR_ADDRESS_V6 = "fd99::2"


@dataclass
class Container:
    """A container as far as networks go: a namespace and a sandbox."""

    namespace: Namespace
    sandbox: Sandbox
    ledger: Ledger

    @property
    def address(self) -> str:
        return self.sandbox.endpoints[0].address


@dataclass
class Machine:
    """A host with a controller, and a neighbour on its LAN."""

    directory: Path
    host: Namespace = field(default_factory=lambda: Namespace("host"))
    neighbour: Namespace = field(default_factory=lambda: Namespace("neighbour"))
    store: MemoryStore = field(default_factory=MemoryStore)
    containers: list[Container] = field(default_factory=list)
    controller: Controller = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.host.wire("lan0", self.neighbour, "lan0")
        self.host.add_address("lan0", f"{HOST_ADDRESS}/24", f"{HOST_ADDRESS_V6}/64")
        self.neighbour.add_address("lan0", f"{NEIGHBOUR_ADDRESS}/24", f"{NEIGHBOUR_ADDRESS_V6}/64")

    def start(self, live: dict[str, int | None] | None = None, **settings: object) -> Controller:
        """Start a controller on the host, in place of the one before."""
        if self.controller is not None:
            self.controller.close()
        run = str(self.directory / "run")
        self.controller = Controller(
            self.store,
            NetworkSettings(run_directory=run, **settings),  # type: ignore[arg-type]
        )
        self.host.run(lambda: self.controller.start(live or {}))
        return self.controller

    def run(
        self,
        name: str,
        *networks: str | EndpointRequest,
        ports: tuple[PortRequest, ...] = (),
        **request: object,
    ) -> Container:
        """Start a container on networks."""
        endpoints = tuple(
            n if isinstance(n, EndpointRequest) else EndpointRequest(network=n) for n in networks
        )
        wanted = SandboxRequest(
            container_id=os.urandom(32).hex(),
            container_name=name,
            hostname=name,
            endpoints=endpoints,
            ports=ports,
            **request,  # type: ignore[arg-type]
        )
        sandbox = self.host.run(lambda: self.controller.create_sandbox(wanted))
        # The runtime's namespace has lo down, as every new one.
        container = Container(Namespace(name), sandbox, Ledger("engine"))
        self.containers.append(container)
        self.host.run(
            lambda: self.controller.join(sandbox.id, container.namespace.fd, container.ledger)
        )
        container.sandbox = self.controller.sandbox(sandbox.id)
        return container

    def end(self, container: Container) -> None:
        """End a container: its namespace dies, the engine forgets it."""
        self.containers.remove(container)
        container.namespace.close()
        self.host.run(lambda: self.controller.delete_sandbox(container.sandbox.id))

    def close(self) -> None:
        if self.controller is not None:
            for container in self.containers:
                self.host.run(lambda c=container: self.controller.delete_sandbox(c.sandbox.id))  # type: ignore[misc]
            self.controller.close()
        for container in self.containers:
            container.namespace.close()
        # Nothing is left to serve: the userland process ends with the last engine's connection.
        eventually(lambda: not self.host.processes())
        self.host.close()
        self.neighbour.close()
