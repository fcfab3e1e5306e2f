"""What can go wrong, in Docker's own categories.

Every error that leaves a package is one of these or a subclass. ``api/status.py`` maps a category
to an HTTP status, ``cli/exit_codes.py`` to an exit code; nobody else decides by category. A
concrete error subclasses one category and keeps its facts as attributes.

Source: moby ``errdefs``; Engine API "Errors".
"""


class CutawayError(Exception):
    """The root of all errors that say a sentence to a person.

    ``str(error)`` is one sentence: what was attempted, on what, why it failed, what to do.
    """


class NotFound(CutawayError):
    """The named thing does not exist."""


class InvalidParameter(CutawayError):
    """The request can never work as it is: the caller must change it."""


class Conflict(CutawayError):
    """The thing exists or is in a state that forbids the request; another state would allow it."""


class Unauthorized(CutawayError):
    """Credentials are missing or wrong."""


class Forbidden(CutawayError):
    """The caller is known and may not do this."""


class Unavailable(CutawayError):
    """The thing that should serve the request cannot now: try again, or start it."""


class NotModified(CutawayError):
    """The thing is already as requested."""


class NotImplemented(CutawayError):  # noqa: A001, RUF100 - Docker's word for the category
    """Docker has this; cutaway, or this machine, does not."""


class System(CutawayError):
    """The host or the engine failed; the request was fine."""
