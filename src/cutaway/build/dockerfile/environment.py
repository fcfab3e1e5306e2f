"""Build arguments and environment variables: who sees which, and who wins.

An ARG is seen from its line to the end of its stage, and in stages that begin with that one. An
ENV of the same name always wins. Proxies are seen by commands without being declared, and are kept
out of history and cache keys.

Source: Dockerfile reference, "ARG", "Predefined ARGs", "Automatic platform ARGs".
"""

from collections.abc import Iterable, Mapping

from cutaway.oci import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
HIDDEN_ARGS = frozenset(_PROXIES) | {name.lower() for name in _PROXIES}


def platform_args(target: Platform) -> dict[str, str]:
    """Return the automatic platform arguments; builds run on the platform they are for."""
    values = {}
    for side in ("TARGET", "BUILD"):
        values[f"{side}PLATFORM"] = str(target)
        values[f"{side}OS"] = target.os
        values[f"{side}ARCH"] = target.architecture
        values[f"{side}VARIANT"] = target.variant
    return values


def merge_env(env: tuple[str, ...], pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Set variables, keeping the place of those that exist."""
    merged = {item.partition("=")[0]: item for item in env}
    merged.update({name: f"{name}={value}" for name, value in pairs})
    return tuple(merged.values())


class Environment:
    """The build arguments of one stage.

    Args:
        given: ``--build-arg``; None takes the default.
        global_args: ARGs before the first FROM, and the platform's.
    """

    def __init__(self, given: Mapping[str, str | None], global_args: Mapping[str, str]) -> None:
        self._given = given
        self._global = global_args
        self._declared: dict[str, str | None] = {}

    @property
    def arguments(self) -> Mapping[str, str | None]:
        """What was declared so far, with its value."""
        return dict(self._declared)

    def inherit(self, arguments: Mapping[str, str | None]) -> None:
        """Begin with the arguments of the stage that this one is built on."""
        self._declared.update(arguments)

    def declare(self, name: str, default: str | None) -> None:
        """Take an ARG instruction into account; ``default`` is expanded already."""
        value = self._given.get(name)
        if value is None:
            value = default if default is not None else self._global.get(name)
        self._declared[name] = value

    def variables(self, env: tuple[str, ...]) -> dict[str, str]:
        """Return what ``$name`` means at this place."""
        known = {name: value for name, value in self._declared.items() if value is not None}
        for item in env:
            name, _, value = item.partition("=")
            known[name] = value
        return known

    def for_run(self, env: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return (visible, hidden) ``NAME=VALUE`` of arguments that a command gets."""
        names = {item.partition("=")[0] for item in env}
        visible = tuple(
            f"{name}={value}"
            for name, value in sorted(self._declared.items())
            if value is not None and name not in names
        )
        hidden = tuple(
            f"{name}={value}"
            for name, value in sorted(self._given.items())
            if name in HIDDEN_ARGS and name not in self._declared and value is not None
            and name not in names
        )  # fmt: skip
        return visible, hidden
