"""The Engine API from the caller's side.

The problem: a command such as ``cutaway ps`` lives for a few milliseconds; most HTTP libraries take
longer to import than that. And ``run`` and ``exec`` need the connection itself once the HTTP
exchange is over: the API "hijacks" it into a raw two-way stream.

The model: a ``Client`` knows where the engine listens and opens one connection a request, which is
cheap on a unix socket. A ``Response`` reads bodies with a length, in chunks, or to the end; a
``Hijacked`` is a socket plus the bytes that came right behind the headers.

Words: *hijack* (the 101 UPGRADED answer after which the socket carries the container's streams),
*frame* (Docker's 8-byte header that says stdout or stderr, and how many bytes).

Read ``hosts.py``, ``http.py``, ``streams.py``.

Docker's counterpart: the Go package ``client`` in moby, and docker-py's ``APIClient``.
"""

from cutaway.client.hosts import Host, parse_host
from cutaway.client.http import ApiError, Client, EngineUnreachable, Hijacked, Response

__all__ = ["ApiError", "Client", "EngineUnreachable", "Hijacked", "Host", "Response", "parse_host"]
