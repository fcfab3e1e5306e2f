"""``--filter``: the JSON in the ``filters`` parameter, old form and new.

Up to API 1.21 the form was ``{"name": ["a", "b"]}``; since then clients send
``{"name": {"a": true, "b": true}}``. Both are taken at every version.

Source: moby ``api/types/filters``.
"""

from collections.abc import Iterable
from typing import Any

from cutaway.api.normalise import parse_json
from cutaway.errors import InvalidParameter
from cutaway.model import Filters


def parse_filters(text: str, accepted: Iterable[str]) -> Filters:
    """Read the ``filters`` parameter and check its names.

    Args:
        text: JSON; empty means no filter.
        accepted: the names that this operation knows.

    Returns:
        Values by name; a name without any value is left out.

    Raises:
        InvalidParameter: ``invalid filter`` and what was found.
    """
    if not text:
        return {}
    document = parse_json(text.encode("utf-8", "surrogatepass"), "filters")
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidParameter("invalid filter: expected an object of lists or objects")
    known = frozenset(accepted)
    filters: dict[str, tuple[str, ...]] = {}
    for name, values in document.items():
        if name not in known:
            raise InvalidParameter(f"invalid filter '{name}'")
        texts = _values(name, values)
        if texts:
            filters[name] = texts
    return filters


def _values(name: str, values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if isinstance(values, list) and all(isinstance(v, str) for v in values):
        return tuple(dict.fromkeys(values))
    if isinstance(values, dict) and all(isinstance(v, bool) for v in values.values()):
        return tuple(values)
    raise InvalidParameter(f"invalid filter '{name}': expected a list of strings")


def one_boolean(filters: Filters, name: str, *, default: bool) -> bool:
    """Read a filter that is a boolean, such as ``dangling``.

    Raises:
        InvalidParameter: ``invalid filter 'dangling=[x]'``: not one of ``1 0 true false``.
    """
    values = filters.get(name)
    if not values:
        return default
    truths = {"1": True, "true": True, "0": False, "false": False}
    found = {truths.get(value.lower()) for value in values}
    if len(found) != 1 or None in found:
        raise InvalidParameter(f"invalid filter '{name}=[{' '.join(values)}]'")
    return found == {True}
