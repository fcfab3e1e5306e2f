"""What a container is to run: the portable half of its configuration.

Docker splits a container's configuration in two. ``ContainerConfig`` travels with the image: which
program, environment, user, labels. ``HostConfig`` (in ``host.py``) belongs to the machine: limits,
mounts, namespaces, ports. ``ImageConfig`` is what an image proposes; at create time the caller's
``ContainerConfig`` wins over it field by field.

Source: Engine API ``ContainerConfig``, ``ImageConfig``, ``HealthConfig``.
"""

from typing import Any

from cutaway.model.base import Int64, Model, always


class HealthConfig(Model):
    """How to ask a container whether it is well (HEALTHCHECK, ``--health-*``).

    Attributes:
        test: None or empty: take the image's. ``("NONE",)``: no check. ``("CMD", …)``: run that
            program. ``("CMD-SHELL", "line")``: run the line by the container's shell.
        interval: nanoseconds between checks; 0: take the image's, else 30 s.
        timeout: nanoseconds after which a check has failed; 0: inherit, else 30 s.
        start_period: nanoseconds during which failures do not count.
        start_interval: nanoseconds between checks during the start period; else 5 s.
        retries: failures in a row that make it unhealthy; 0: inherit, else 3.
    """

    test: tuple[str, ...] | None = None
    interval: Int64 = 0
    timeout: Int64 = 0
    start_period: Int64 = 0
    start_interval: Int64 = 0
    retries: Int64 = 0


class ImageConfig(Model):
    """What an image proposes for containers made of it: the ``config`` of its OCI document.

    Attributes:
        exposed_ports: keys such as ``80/tcp``; the values are empty objects.
        volumes: container paths; the values are empty objects.
        on_build: instructions that a build on top of this image runs first.
        args_escaped: a Windows matter, kept because images carry it.
        shell: what shell-form instructions use instead of ``/bin/sh -c``.
    """

    user: str = always("")
    exposed_ports: dict[str, Any] | None = None
    env: tuple[str, ...] | None = always(None)
    cmd: tuple[str, ...] | None = always(None)
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    volumes: dict[str, Any] | None = always(None)
    working_dir: str = always("")
    entrypoint: tuple[str, ...] | None = always(None)
    on_build: tuple[str, ...] | None = always(None)
    labels: dict[str, str] | None = always(None)
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None


class ContainerConfig(Model):
    """What to run, in the caller's words; what is None or empty is taken from the image.

    Attributes:
        hostname: empty: the first 12 digits of the container's id.
        user: ``name|uid[:group|gid]``; empty: the image's, else root.
        attach_stdin: the client will attach; with ``stdin_once``, its end of input ends stdin.
        tty: a pseudo-terminal instead of three pipes; output then is one raw stream.
        open_stdin: keep stdin open although nobody is attached (``-i``).
        stdin_once: close stdin when the first attached client has gone.
        env: ``NAME=value``; a bare ``NAME`` removes what the image set.
        cmd: None: the image's. Arguments of ``entrypoint`` if there is one.
        entrypoint: None: the image's. ``("",)``: none at all; either way a new entrypoint drops
            the image's ``cmd``.
        volumes: container paths that get an anonymous volume; values are empty objects.
        mac_address: for API versions below 1.44; newer ones say it in ``EndpointSettings``.
        stop_signal: a name or number; empty: SIGTERM.
        stop_timeout: seconds before SIGKILL; None: the engine's 10.
    """

    hostname: str = always("")
    domainname: str = always("")
    user: str = always("")
    attach_stdin: bool = always(False)
    attach_stdout: bool = always(False)
    attach_stderr: bool = always(False)
    exposed_ports: dict[str, Any] | None = None
    tty: bool = always(False)
    open_stdin: bool = always(False)
    stdin_once: bool = always(False)
    env: tuple[str, ...] | None = always(None)
    cmd: tuple[str, ...] | None = always(None)
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = always("")
    volumes: dict[str, Any] | None = always(None)
    working_dir: str = always("")
    entrypoint: tuple[str, ...] | None = always(None)
    network_disabled: bool = False
    mac_address: str = ""
    on_build: tuple[str, ...] | None = always(None)
    labels: dict[str, str] | None = always(None)
    stop_signal: str = ""
    stop_timeout: Int64 | None = None
    shell: tuple[str, ...] | None = None
