"""What can go wrong with plugins; every sentence names the plugin."""

from collections.abc import Sequence

from cutaway.errors import InvalidParameter, NotFound, System


class PluginNotFound(NotFound):
    """No plugin directory knows the name."""

    def __init__(self, name: str, directories: Sequence[str]) -> None:
        super().__init__(f'plugin "{name}" not found in {", ".join(directories)}')
        self.name = name


class PluginLacks(InvalidParameter):
    """The plugin is there but does not make what it is wanted for."""

    def __init__(self, name: str, wanted: str, implements: Sequence[str]) -> None:
        super().__init__(
            f'plugin "{name}" does not implement the requested driver: it is no {wanted}, '
            f"it implements {', '.join(implements) or 'nothing'}"
        )
        self.name = name
        self.wanted = wanted


class PluginFailed(System):
    """The plugin could not be asked, or what it answered is no answer.

    Attributes:
        method: ``VolumeDriver.Mount``.
        reason: why, without the names.
        answered: it has got the request, so may have done what it was asked.
    """

    def __init__(self, name: str, method: str, reason: str, *, answered: bool = False) -> None:
        super().__init__(f'plugin "{name}": {method}: {reason}')
        self.name = name
        self.method = method
        self.reason = reason
        self.answered = answered


class PluginRefused(System):
    """The plugin answered with an error of its own.

    Attributes:
        method: ``VolumeDriver.Mount``.
        reason: the plugin's words.
        status: of HTTP; 404 when it does not know the method.
    """

    def __init__(self, name: str, method: str, reason: str, *, status: int = 200) -> None:
        super().__init__(f'plugin "{name}": {method}: {reason}')
        self.name = name
        self.method = method
        self.reason = reason
        self.status = status
