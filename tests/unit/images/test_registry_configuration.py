"""registries.toml: mirrors and trust by prefix, and what is wrong in it by name."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.registry.configuration import with_configuration
from cutaway.images.registry.settings import RegistrySettings, endpoints_of


def configured(tmp_path, text: str, **settings) -> RegistrySettings:
    path = tmp_path / "registries.toml"
    path.write_text(text)
    return with_configuration(RegistrySettings(configuration_files=(str(path),), **settings))


def test_mirrors_and_trust_are_added_to_the_flags(tmp_path):
    settings = configured(
        tmp_path,
        """
        [[registry]]
        prefix = "ghcr.io/org/"
        mirrors = ["https://one.example", "https://two.example"]

        [[registry]]
        prefix = "registry.corp:5000/team"
        insecure = true
        """,
        insecure_registries=("10.0.0.0/8",),
    )

    assert settings.insecure_registries == ("10.0.0.0/8", "registry.corp:5000")
    urls = [e.url for e in endpoints_of("ghcr.io/org/app", settings, for_push=False)]
    assert urls == ["https://one.example", "https://two.example", "https://ghcr.io"]
    urls = [e.url for e in endpoints_of("registry.corp:5000/x", settings, for_push=False)]
    assert urls == ["https://registry.corp:5000", "http://registry.corp:5000"]


def test_no_file_changes_nothing(tmp_path):
    settings = RegistrySettings(configuration_files=(str(tmp_path / "none"),))
    assert with_configuration(settings) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "registries.toml: "),
        ("other = 1", r"expected \[\[registry\]\] tables only, got \['other'\]"),
        ("registry = 1", r"expected \[\[registry\]\] tables only"),
        ("registry = [1]", r"registry\[0\]: expected a table"),
        ("[[registry]]", r"registry\[0\].prefix: expected a registry or a name"),
        ('[[registry]]\nprefix = "https://x"', r"registry\[0\].prefix: expected a registry"),
        ("[[registry]]\nprefix = 1", r"registry\[0\].prefix: expected a str, got 1"),
        ('[[registry]]\nprefix = "x"\nmirror = []', r"registry\[0\]: unknown key 'mirror'"),
        ('[[registry]]\nprefix = "x"\nmirrors = ["ftp://x"]', "expected http or https addresses"),
        ('[[registry]]\nprefix = "x"\nmirrors = [1]', "expected http or https addresses"),
        ('[[registry]]\nprefix = "x"\ninsecure = "yes"', "insecure: expected a bool, got 'yes'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(InvalidParameter, match=message):
        configured(tmp_path, text)
