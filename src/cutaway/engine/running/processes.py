"""A process beside PID 1, for exec and for health checks: decided from the container's own."""

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.spec.confinement import parse_security_options
from cutaway.engine.spec.intent import ContainerIntent
from cutaway.engine.spec.process import plan_exec
from cutaway.engine.spec.security import plan_capabilities
from cutaway.model import ExecConfig
from cutaway.oci.runtime_spec import Process


def exec_process(core: Core, container: Container, config: ExecConfig) -> Process:
    """Decide the runtime-spec process of an exec."""
    host = container.host_config
    confinement = parse_security_options(
        host.security_opt or (), core.settings, privileged=host.privileged
    )
    intent = ContainerIntent(
        id=container.id,
        config=container.config,
        host=host,
        settings=core.settings,
        machine=core.machine,
        capabilities=plan_capabilities(host, core.machine),
        no_new_privileges=confinement.no_new_privileges,
    )
    return plan_exec(intent, config, privileged=config.privileged)
