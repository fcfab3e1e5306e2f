"""Exec: further processes in running containers."""

from msgspec.structs import replace

from cutaway import model
from cutaway.api.answers import document_answer
from cutaway.api.backend import Backends
from cutaway.api.request import Request
from cutaway.api.response import Answer, Response, Taken, json_answer
from cutaway.api.router import Param, Route
from cutaway.api.routes.container_streams import upgrade_of
from cutaway.api.routes.params import terminal_size
from cutaway.errors import InvalidParameter


async def create(request: Request, backends: Backends) -> Response:
    """Note which process to run in a container."""
    config = await request.document(model.ExecConfig)
    if not config.cmd:
        raise InvalidParameter("No exec command specified")
    exec_id = await backends.execs.create(request.reference, _as_newest(config, request))
    return json_answer(model.IDResponse(id=exec_id), status=201)


def _as_newest(config: model.ExecConfig, request: Request) -> model.ExecConfig:
    if request.below(1, 42):
        config = replace(config, console_size=None)
    if request.below(1, 35):
        config = replace(config, working_dir="")
    if request.below(1, 25):
        config = replace(config, env=None)
    return config


async def start(request: Request, backends: Backends) -> Response:
    """Run a noted process, joined to this connection unless detached."""
    options = await request.document(model.ExecStartConfig)
    if options.console_size is not None:
        if request.below(1, 42) or options.detach:
            options = replace(options, console_size=None)
        elif not options.tty:
            raise InvalidParameter("console size is only supported when TTY is enabled")
    await backends.execs.start(request.reference, options, upgrade_of(request))
    return Answer(200) if options.detach else Taken()


async def resize(request: Request, backends: Backends) -> Response:
    """Set the size of an exec's terminal."""
    height, width = terminal_size(request.query)
    await backends.execs.resize(request.reference, height=height, width=width)
    return Answer(200)


async def inspect(request: Request, backends: Backends) -> Response:
    """Tell all about an exec."""
    return document_answer(request, await backends.execs.inspect(request.reference))


_G = "Exec"
ROUTES = (
    Route(
        method="POST",
        path="/containers/{name}/exec",
        handler=create,
        group=_G,
        body=model.ExecConfig,
        answers={201: model.IDResponse},
    ),
    Route(
        method="POST",
        path="/exec/{name}/start",
        handler=start,
        group=_G,
        body=model.ExecStartConfig,
        answers={101: None, 200: None},
        hijacks=True,
    ),
    Route(
        method="POST",
        path="/exec/{name}/resize",
        handler=resize,
        group=_G,
        query=(Param("h", "integer"), Param("w", "integer")),
    ),
    Route(
        method="GET",
        path="/exec/{name}/json",
        handler=inspect,
        group=_G,
        answers={200: model.ExecInspect},
    ),
)
