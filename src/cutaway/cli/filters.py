"""``--filter NAME=VALUE`` as the API's ``filters`` parameter."""

import json


def encode_filters(texts: list[str]) -> str | None:
    """Return ``{"label": ["a=b"], …}`` as JSON, None when nothing was given."""
    filters: dict[str, list[str]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        filters.setdefault(name.strip().lower(), []).append(value.strip())
    return json.dumps(filters) if filters else None
