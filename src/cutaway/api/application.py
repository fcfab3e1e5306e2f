"""One request's way from method and target to an answer: version, route, handler, errors."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from cutaway.api.backend import Backends
from cutaway.api.query import Query, parse_query
from cutaway.api.request import Exchange, Request
from cutaway.api.response import Answer, Response, error_answer
from cutaway.api.router import Route, Router
from cutaway.api.status import message_of, status_of
from cutaway.api.transport import ClientGone
from cutaway.api.version import NEWEST, split_version
from cutaway.errors import CutawayError

logger = logging.getLogger("cutaway.api")


@dataclass(frozen=True, slots=True)
class Found:
    """A request with the route that serves it."""

    request: Request
    route: Route


class Application:
    """The API without its connections: give it a request, get an answer."""

    def __init__(self, backends: Backends, router: Router) -> None:
        self._backends = backends
        self._router = router

    def find(
        self, method: str, target: str, headers: Mapping[str, str], exchange: Exchange
    ) -> Found | Answer:
        """Return the route of a request, or the answer that refuses it."""
        if method == "OPTIONS":
            return Answer(200)
        path, _, query_text = target.partition("?")
        try:
            version, path = split_version(path)
            version = version or NEWEST
            route, params = self._router.find(method, path, version)
            query = Query(parse_query(query_text))
        except Exception as error:
            return self.refuse(method, target, error)
        return Found(Request(method, path, version, query, headers, exchange, params), route)

    async def serve(self, found: Found) -> Response:
        """Run the route's handler; whatever it raises becomes an answer."""
        request = found.request
        try:
            return await found.route.handler(request, self._backends)
        except ClientGone:
            raise
        except Exception as error:
            return self.refuse(request.method, request.path, error)

    def refuse(self, method: str, target: str, error: Exception) -> Answer:
        """Return the answer for an error; a stranger is logged with its traceback."""
        status = status_of(error)
        if status == 500:
            place = target.partition("?")[0]
            if isinstance(error, CutawayError):
                logger.error("%s %s failed: %s", method, place, error)
            else:
                logger.error("%s %s failed", method, place, exc_info=error)
        return error_answer(status, message_of(error))
