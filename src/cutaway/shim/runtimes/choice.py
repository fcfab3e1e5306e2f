"""Which runtime makes a container."""

from cutaway.shim.prepared import Prepared, RuntimeSupport
from cutaway.shim.protocol import Launch
from cutaway.shim.runtimes.builtin import BuiltinRuntime
from cutaway.shim.runtimes.external import ExternalRuntimeDriver


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
        give_back=prepared.keep_maker,
    )
