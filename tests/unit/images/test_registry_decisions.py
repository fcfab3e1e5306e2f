"""Where a name leads, how long to try, and what progress looks like: all without a network."""

import threading
import time
from email.utils import formatdate

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.cancellation import Cancelled, run_cancellable
from cutaway.images.progress import Progress, human_size, ignore_progress, progress_bar
from cutaway.images.registry.patience import Patience, parse_retry_after
from cutaway.images.registry.settings import (
    Endpoint,
    RegistrySettings,
    endpoints_of,
    host_of,
    is_insecure,
    is_private_literal,
)
from cutaway.images.registry.transport import (
    RedirectRefused,
    TransportFailure,
    origin_of,
    shown_url,
)
from support.waiting import require_within

PLAIN = RegistrySettings()


def urls(name: str, settings: RegistrySettings = PLAIN, *, for_push: bool = False) -> list[str]:
    return [e.url for e in endpoints_of(name, settings, for_push=for_push)]


def test_docker_hub_is_asked_by_its_own_host_and_its_mirrors_first():
    settings = RegistrySettings(mirrors=("https://mirror.example/", "http://127.0.0.1:5000"))

    assert endpoints_of("docker.io/library/nginx", settings, for_push=False) == (
        Endpoint("https://mirror.example", is_mirror=True),
        Endpoint("http://127.0.0.1:5000", verify_tls=False, is_mirror=True),
        Endpoint("https://registry-1.docker.io"),
    )
    assert urls("docker.io/library/nginx", settings, for_push=True) == [
        "https://registry-1.docker.io"
    ]
    assert urls("ghcr.io/a/b", settings) == ["https://ghcr.io"]


def test_the_longest_prefix_chooses_the_mirrors():
    settings = RegistrySettings(
        mirrors_by_prefix={"ghcr.io": ("https://a",), "ghcr.io/org": ("https://b", "https://c")}
    )

    assert urls("ghcr.io/org/app", settings) == ["https://b", "https://c", "https://ghcr.io"]
    assert urls("ghcr.io/organ/app", settings) == ["https://a", "https://ghcr.io"]
    assert urls("quay.io/org/app", settings) == ["https://quay.io"]


@pytest.mark.parametrize(
    ("domain", "listed", "expected"),
    [
        ("127.0.0.1:5000", (), True),
        ("127.8.9.10", (), True),
        ("[::1]:5000", (), True),
        ("localhost:5000", (), True),
        ("registry.corp:5000", (), False),
        ("registry.corp:5000", ("registry.corp:5000",), True),
        ("registry.corp:5000", ("registry.corp",), True),
        ("registry.corp:5000", ("registry.corp:5001",), False),
        ("10.1.2.3:5000", ("10.0.0.0/8",), True),
        ("11.1.2.3:5000", ("10.0.0.0/8",), False),
        ("8.8.8.8", (), False),
    ],
)
def test_plain_http_is_only_for_loopback_and_for_who_is_listed(domain, listed, expected):
    settings = RegistrySettings(insecure_registries=listed)

    assert is_insecure(domain, settings) is expected
    schemes = [u.partition(":")[0] for u in urls(f"{domain}/app", settings)]
    assert schemes == (["https", "http"] if expected else ["https"])


def test_tls_verify_false_accepts_the_certificate_but_not_plain_http():
    settings = RegistrySettings(tls_verify=False)
    assert endpoints_of("registry.corp/app", settings, for_push=False) == (
        Endpoint("https://registry.corp", verify_tls=False),
    )


def test_a_link_local_registry_must_be_listed():
    with pytest.raises(InvalidParameter, match="link-local"):
        urls("169.254.169.254/app")
    listed = RegistrySettings(insecure_registries=("169.254.0.0/16",))
    assert urls("169.254.1.1/app", listed)[0] == "https://169.254.1.1"


def test_hosts_and_origins():
    assert host_of("[::1]:5000") == "::1"
    with pytest.raises(InvalidParameter):
        host_of("[::1")
    assert origin_of("https://h/x") == ("https", "h", 443)
    assert origin_of("http://h:81/x") == ("http", "h", 81)
    with pytest.raises(RedirectRefused):
        origin_of("http://h:port/")
    assert shown_url("https://user:pw@h/p?signature=s#f") == "https://h/p"
    assert is_private_literal("192.168.1.1")
    assert not is_private_literal("example.com")
    assert not is_private_literal("1.1.1.1")


# Patience


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def make_patience(**settings) -> Patience:
    return Patience(RegistrySettings(backoff_s=0.0, **settings), lambda: False, Clock())


def test_patience_ends_after_as_many_failures_as_allowed():
    patience = make_patience(max_attempts=3)
    error = TransportFailure("broken", is_transient=True)

    patience.after_failure(error)
    patience.after_failure(error)
    with pytest.raises(TransportFailure, match="broken"):
        patience.after_failure(error)
    assert not error.is_transient
    assert error.__notes__ == ["gave up after 3 attempts in 0 s"]


def test_progress_gives_new_patience():
    patience = make_patience(max_attempts=2)
    for _ in range(10):
        patience.after_failure(ValueError())
        patience.progressed()


def test_patience_ends_within_a_minute():
    clock = Clock()
    patience = Patience(RegistrySettings(), lambda: False, clock)
    assert patience.timeout_s == 30.0
    clock.now = 40.0
    assert 19.0 < patience.timeout_s < 20.1
    clock.now = 46.0
    with pytest.raises(ValueError, match="slow"):
        patience.after_failure(ValueError("slow"))
    clock.now = 100.0
    assert patience.timeout_s == 1.0


def test_waiting_ends_with_a_cancellation():
    patience = Patience(PLAIN, lambda: True)
    with pytest.raises(Cancelled):
        patience.wait(60)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", None), ("7", 7.0), ("-1", None), ("soon", None), ("²", None), ("9" * 30, 999999999.0)],
)
def test_retry_after_in_seconds(value, seconds):
    assert parse_retry_after(value) == seconds


def test_retry_after_as_a_date():
    found = parse_retry_after(formatdate(time.time() + 50, usegmt=True))
    assert found is not None
    assert 40 < found <= 50
    assert parse_retry_after(formatdate(0, usegmt=True)) == 0.0


# Cancellation


def test_work_that_ends_gives_its_value_or_error():
    def run(work):
        return run_cancellable(work, is_cancelled=lambda: False, stop=lambda: None, name="t")

    assert run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


@pytest.mark.parametrize("obeys", [True, False])
def test_a_cancellation_stops_the_work_or_leaves_it(obeys):
    stopped, ended = threading.Event(), threading.Event()

    def work() -> None:
        (stopped if obeys else ended).wait(5)
        raise ValueError("broken connection")

    started = time.monotonic()
    with pytest.raises(Cancelled):
        run_cancellable(work, is_cancelled=lambda: True, stop=stopped.set, name="t")
    require_within(1.2, started)
    ended.set()


def test_work_that_ends_in_spite_of_the_cancellation_counts():
    stopped = threading.Event()
    value = run_cancellable(
        lambda: stopped.wait(5), is_cancelled=lambda: True, stop=stopped.set, name="t"
    )
    assert value is True


# Progress


def test_events_are_dockers():
    events = []
    progress = Progress(events.append)
    progress.title("Pulling from library/x", "latest")
    progress.message("Pulling fs layer", "abc")
    progress.message("Digest: sha256:0")
    progress.count("Downloading", "abc", 1, 4)
    progress.count("Downloading", "abc", 2, 4)  # too soon after the one before
    progress.count("Extracting", "abc", 2, 4)
    progress.count("Downloading", "abc", 4, 4)
    progress.auxiliary({"Tag": "t"})

    bar = progress_bar(1, 4)
    assert events == [
        {"status": "Pulling from library/x", "id": "latest"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "abc"},
        {"status": "Digest: sha256:0"},
        {
            "status": "Downloading",
            "progressDetail": {"current": 1, "total": 4},
            "progress": bar,
            "id": "abc",
        },
        {
            "status": "Extracting",
            "progressDetail": {"current": 2, "total": 4},
            "progress": progress_bar(2, 4),
            "id": "abc",
        },
        {
            "status": "Downloading",
            "progressDetail": {"current": 4, "total": 4},
            "progress": progress_bar(4, 4),
            "id": "abc",
        },
        {"progressDetail": {}, "aux": {"Tag": "t"}},
    ]
    ignore_progress({})


@pytest.mark.parametrize(
    ("current", "total", "text"),
    [
        (0, 100, "[>" + " " * 50 + "]       0B/100B"),
        (50, 100, "[" + "=" * 25 + ">" + " " * 25 + "]      50B/100B"),
        (100, 100, "[" + "=" * 50 + ">]     100B/100B"),
        (1500, 1000, "[" + "=" * 50 + ">]    1.5kB"),
        (1234567, 0, " 1.235MB"),
    ],
)
def test_the_bar_is_dockers(current, total, text):
    assert progress_bar(current, total) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1024, "1.024kB"), (10**15 * 5000, "5000PB")],
)
def test_sizes_have_four_digits(size, text):
    assert human_size(size) == text
