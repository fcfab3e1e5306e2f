"""Where the output of one container is kept."""

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.output.log_sinks import LogSubject
from cutaway.engine.output.logs import plan_log
from cutaway.engine.spec.merge import command_line
from cutaway.shim.protocol import LogSettings


def log_settings(core: Core, container: Container) -> LogSettings:
    """Return what the shim and the readers of a container's log are told."""
    document = container.document
    subject = LogSubject(
        container.id,
        container.name,
        document.image,
        document.image_id,
        tuple(command_line(container.config)),
    )
    path = core.paths.log(container.id)
    return plan_log(container.host_config.log_config, container.config, path, subject)
