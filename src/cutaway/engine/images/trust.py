"""What one command says about certificates, joined with the daemon's settings."""

from dataclasses import replace

from cutaway.images.registry.settings import RegistrySettings
from cutaway.model import RegistryTrust


def settings_with(registry: RegistrySettings, trust: RegistryTrust | None) -> RegistrySettings:
    """Return the daemon's settings as one command wants them: ``--tls-verify``, ``--ca``."""
    if trust is None:
        return registry
    return replace(registry, tls_verify=registry.tls_verify and trust.tls_verify, ca=trust.ca)
