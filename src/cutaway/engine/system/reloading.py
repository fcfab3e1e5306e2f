"""SIGHUP: take over what ``daemon.json`` says now, of what may change while containers run.

Docker's counterpart: moby ``daemon/reload.go``.
"""

import json
import logging
from dataclasses import replace

from cutaway.engine.configuration.directives import CommandLine, load_settings
from cutaway.engine.configuration.settings import BadSettings
from cutaway.engine.core import Core

log = logging.getLogger(__name__)

RELOADABLE = (
    "build_gc",
    "debug",
    "default_runtime",
    "insecure_registries",
    "labels",
    "log_level",
    "max_concurrent_downloads",
    "max_concurrent_uploads",
    "max_download_attempts",
    "registry_mirrors",
    "runtimes",
)


def reload(core: Core, command_line: CommandLine) -> bool:
    """Read the settings again; all others stay as they were at the start.

    Returns:
        False when they can't be used: the log says why, and nothing has changed.
    """
    try:
        told = load_settings(command_line)
    except BadSettings as error:
        log.error("the configuration was not reloaded: %s", error)
        return False
    changed = {
        name: getattr(told, name)
        for name in RELOADABLE
        if getattr(told, name) != getattr(core.settings, name)
    }
    core.settings = replace(core.settings, **changed)
    told_of = {"name": core.machine.hostname}
    for name, value in changed.items():
        told_of[name.replace("_", "-")] = json.dumps(value, default=str)
    log.info("the configuration was reloaded: %s", ", ".join(changed) or "nothing has changed")
    core.bus.publish("daemon", "reload", core.machine.hostname, told_of)
    return True
