"""Which runtime makes a container, and what all runtimes of a launcher share."""

from dataclasses import dataclass

from cutaway.runtime import HostFacts, SeccompCache
from cutaway.runtime.maker import Maker
from cutaway.shim.protocol import Launch
from cutaway.shim.runtimes.builtin import BuiltinRuntime
from cutaway.shim.runtimes.external import ExternalRuntimeDriver
from cutaway.shim.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class RuntimeSupport:
    """What the launcher has ready before it forks.

    Attributes:
        facts: what this host can do.
        seccomp: compiled programs.
    """

    facts: HostFacts
    seccomp: SeccompCache


class Prepared:
    """What an idle shim makes before it knows its container.

    Attributes:
        sandbox: with a network namespace, which most containers want.
        maker: the process that will make the container; None once it is used.
    """

    def __init__(self, support: RuntimeSupport) -> None:
        self.sandbox = Sandbox()
        self.sandbox.create()
        self.maker: Maker | None = Maker.fork(support.facts, support.seccomp)

    def take_maker(self) -> Maker | None:
        """Return the maker for the first run; later runs fork their own."""
        maker, self.maker = self.maker, None
        return maker

    def drop_maker(self) -> None:
        """End the maker: the container is not the built-in runtime's."""
        maker = self.take_maker()
        if maker is not None:
            maker.close()


def choose_runtime(
    launch: Launch, support: RuntimeSupport, prepared: Prepared
) -> BuiltinRuntime | ExternalRuntimeDriver:
    """Return a new driver for one run of PID 1."""
    if launch.runtime is not None:
        prepared.drop_maker()
        return ExternalRuntimeDriver(launch.container_id, launch.bundle, launch.runtime)
    return BuiltinRuntime(
        launch.container_id,
        launch.bundle,
        facts=support.facts,
        seccomp=support.seccomp,
        maker=prepared.take_maker(),
    )
