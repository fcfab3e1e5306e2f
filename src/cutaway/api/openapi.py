"""``/openapi.json``: the API described from the routes and the model, so that it cannot lie.

Source: OpenAPI 3.1. Schemas come from msgspec, which knows each type's names on the wire.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from cutaway import __version__
from cutaway.api.router import Param, Route
from cutaway.api.version import NEWEST
from cutaway.model import ContainerStats, ErrorResponse, EventMessage, ProgressMessage

_REF = "#/components/schemas/{name}"
_SEQUENCES = (ContainerStats, EventMessage, ProgressMessage)


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of the newest version."""
    shown = [route for route in routes if not route.path.endswith("/")]
    types = _json_types(shown)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in shown:
        path = re.sub(r"\{(\w+)(:path)?\}", r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cutaway: Docker Engine API",
            "version": str(NEWEST),
            "description": f"Served by cutaway {__version__}.",
        },
        "servers": [{"url": f"/v{NEWEST}"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _json_types(routes: Sequence[Route]) -> list[Any]:
    found: dict[str, Any] = {str(ErrorResponse): ErrorResponse}
    for route in routes:
        for type_ in (route.body, *route.answers.values()):
            if type_ is not None and type_ is not bytes:
                found[str(type_)] = type_
    return list(found.values())


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    summary = (route.handler.__doc__ or "").split("\n")[0]
    operation: dict[str, Any] = {
        "tags": [route.group],
        "summary": summary,
        "operationId": f"{route.group}-{route.handler.__name__.strip('_')}-"
        + re.sub(r"\W+", "-", f"{route.method} {route.path}").strip("-").lower(),
        "parameters": [_path_parameter(name) for name in re.findall(r"\{(\w+)", route.path)]
        + [_query_parameter(param) for param in route.query],
        "responses": {
            **{str(status): _answer(type_, schemas) for status, type_ in route.answers.items()},
            "default": _answer(ErrorResponse, schemas),
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"content": _content(route.body, schemas, "application/x-tar")}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(param: Param) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": param.kind}
    if param.kind == "array":
        schema["items"] = {"type": "string"}
    return {"name": param.name, "in": "query", "required": False, "schema": schema}


def _answer(type_: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "error" if type_ is ErrorResponse else "done"}
    if type_ is not None:
        answer["content"] = _content(type_, schemas, "application/octet-stream")
    return answer


def _content(type_: Any, schemas: dict[str, Any], raw: str) -> dict[str, Any]:
    if type_ is bytes:
        return {raw: {"schema": {"type": "string", "format": "binary"}}}
    if type_ in _SEQUENCES:
        # A body of many documents: OpenAPI 3.1 has no word for it, 3.2 says itemSchema.
        return {"application/json": {"x-itemSchema": schemas[str(type_)]}}
    if type_ is str:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": schemas[str(type_)]}}
