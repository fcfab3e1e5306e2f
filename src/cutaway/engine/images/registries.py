"""What the daemon and one command say about registries, as the registry client takes it."""

from urllib.request import getproxies_environment

from cutaway.engine.configuration.settings import DaemonSettings
from cutaway.images.registry.settings import RegistrySettings
from cutaway.model import RegistryTrust


def registry_settings(
    settings: DaemonSettings, trust: RegistryTrust | None = None
) -> RegistrySettings:
    """Join the daemon's settings with one command's ``--tls-verify`` and ``--ca``.

    Asked for each command: settings change with SIGHUP.
    """
    return RegistrySettings(
        insecure_registries=settings.insecure_registries,
        mirrors=settings.registry_mirrors,
        proxies=proxies(settings),
        tls_verify=trust is None or trust.tls_verify,
        ca="" if trust is None else trust.ca,
        max_attempts=settings.max_download_attempts,
        max_downloads=settings.max_concurrent_downloads,
        max_uploads=settings.max_concurrent_uploads,
    )


def proxies(settings: DaemonSettings) -> dict[str, str]:
    """Return the proxies by scheme, and who needs ``no``: told ones hide the environment's."""
    told = {"http": settings.http_proxy, "https": settings.https_proxy, "no": settings.no_proxy}
    return {**getproxies_environment(), **{key: value for key, value in told.items() if value}}
