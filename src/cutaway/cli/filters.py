"""``--filter NAME=VALUE`` as the API's ``filters`` parameter."""

import json

from cutaway.cli.flags import UsageError


def encode_filters(texts: list[str]) -> str | None:
    """Return ``{"label": ["a=b"], …}`` as JSON, None when nothing was given.

    Raises:
        UsageError: a filter without ``=``.
    """
    filters: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f'invalid argument "{text}" for "-f, --filter" flag: '
                f"invalid filter '{text}': must be in the form of key=value"
            )
        filters.setdefault(name.strip().lower(), []).append(value.strip())
    return json.dumps(filters) if filters else None
