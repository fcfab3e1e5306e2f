"""To whom credentials and tokens go, and to whom never."""

import base64
import json

import pytest

from cutaway.errors import CutawayError, Unauthorized, Unavailable
from cutaway.images.registry.authorizer import (
    Challenge,
    RealmRefused,
    check_realm,
    parse_challenges,
)
from cutaway.images.registry.credentials import (
    Credentials,
    credentials_from_json,
    parse_registry_auth,
)
from cutaway.images.registry.login import domain_of, login
from cutaway.images.registry.refusal import PullDenied
from cutaway.images.registry.settings import Endpoint, RegistrySettings
from support.hostile_registry import Exchange, make_image

ALICE = Credentials(username="alice", password="s3cret")
QUICK = RegistrySettings(backoff_s=0.01, stall_timeout_s=1.0, certificate_dirs=())


def wants_token(registry, realm: str, token: str = "tok", scope: str = "repository:app:pull"):
    """Make a registry that answers only with a bearer token from ``realm``."""

    def rule(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization") == f"Bearer {token}":
            exchange.serve()
            return
        challenge = f'Bearer realm="{realm}",service="reg",scope="{scope}"'
        exchange.reply_error(
            401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge
        )

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH"):
        registry.on(method, r"/v2/.*", rule)


def gives_token(registry, token: str = "tok", **more) -> None:
    """Make a token server."""
    body = json.dumps({"token": token, "expires_in": 300, **more}).encode()
    registry.on("GET", r"/token.*", lambda e: e.reply(200, body))
    registry.on("POST", r"/token.*", lambda e: e.reply(200, body))


def test_a_token_is_fetched_anonymously(store, registry):
    registry.put(make_image())
    wants_token(registry, f"{registry.url}/token")
    gives_token(registry)

    store.pull(f"{registry.address}/app")

    (asked,) = registry.requests(r"/token.*")
    assert asked.path == "/token?service=reg&scope=repository%3Aapp%3Apull"
    assert "Authorization" not in asked.headers


def test_a_token_is_fetched_with_a_password(store, registry):
    registry.put(make_image())
    wants_token(registry, f"{registry.url}/token")
    gives_token(registry)

    store.pull(f"{registry.address}/app", credentials=ALICE)

    (asked,) = registry.requests(r"/token.*")
    assert asked.headers["Authorization"] == "Basic " + base64.b64encode(b"alice:s3cret").decode()
    assert "account=alice" in asked.path


def test_a_token_is_fetched_with_an_identity_token(store, registry):
    registry.put(make_image())
    wants_token(registry, f"{registry.url}/token")
    gives_token(registry)

    store.pull(f"{registry.address}/app", credentials=Credentials(identity_token="id-tok"))

    (asked,) = registry.requests(r"/token.*")
    assert asked.method == "POST"


def test_a_registry_token_is_used_as_it_is(store, registry):
    registry.put(make_image())
    wants_token(registry, "https://nowhere.invalid/token", token="ready")

    store.pull(f"{registry.address}/app", credentials=Credentials(registry_token="ready"))


def test_a_token_that_expired_on_the_way_is_fetched_anew(store, registry):
    registry.put(make_image())
    valid = ["one"]

    def rule(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization") == f"Bearer {valid[-1]}":
            if "/manifests/" in exchange.path:
                valid.append("two")
            exchange.serve()
            return
        challenge = f'Bearer realm="{registry.url}/token"'
        exchange.reply_error(401, "UNAUTHORIZED", "expired", WWW_Authenticate=challenge)

    registry.on("GET", r"/v2/.*", rule)
    registry.on(
        "GET", r"/token.*", lambda e: e.reply(200, json.dumps({"token": valid[-1]}).encode())
    )

    store.pull(f"{registry.address}/app")

    assert len(registry.requests(r"/token.*")) == 2


def test_basic_authentication(store, registry):
    registry.put(make_image())

    def rule(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization") == ALICE.basic_header:
            exchange.serve()
            return
        exchange.reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    registry.on("GET", r"/v2/.*", rule)

    store.pull(f"{registry.address}/app", credentials=ALICE)
    with pytest.raises(Unauthorized, match="^no basic auth credentials$"):
        store.pull(f"{registry.address}/app")
    with pytest.raises(CutawayError, match="pull access denied for .*'docker login'"):
        store.pull(f"{registry.address}/app", credentials=Credentials("alice", "wrong"))


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (
            401,
            b'{"details":"incorrect username or password"}',
            Unauthorized,
            "^unauthorized: incorrect",
        ),
        (401, b"no", Unauthorized, "^unauthorized: incorrect username or password$"),
        (403, b"no", PullDenied, "pull access denied for"),
        (500, b"no", Unavailable, "500 Internal Server Error"),
        (200, b"rubbish", Unavailable, "did not include a token"),
        (200, b'{"token": 5}', Unavailable, "did not include a token"),
        (200, b'{"token": "a\\nX-Evil: 1"}', Unavailable, "did not include a token"),
        (200, b"[]", Unavailable, "did not include a token"),
        (200, b" " * 2_000_000, CutawayError, "longer than the 1048576 bytes allowed"),
    ],
)
def test_a_token_server_that_refuses_or_raves(store, registry, status, body, error, message):
    registry.put(make_image())
    wants_token(registry, f"{registry.url}/token")
    registry.on("GET", r"/token.*", lambda e: e.reply(status, body))

    with pytest.raises(error, match=message):
        store.pull(f"{registry.address}/app", credentials=ALICE)
    assert store.is_empty()


# Where credentials must not go


def test_authorization_does_not_follow_a_redirect_to_another_port(store, registry, make_registry):
    image = make_image()
    registry.put(image)
    wants_token(registry, f"{registry.url}/token")
    gives_token(registry)
    thief = make_registry()
    thief.blobs |= image.blobs

    def redirect(exchange: Exchange) -> None:
        exchange.reply(307, headers={"Location": thief.url + exchange.path})

    registry.on("GET", r"/v2/app/blobs/.*", redirect)

    store.pull(f"{registry.address}/app", credentials=ALICE)

    assert len(thief.seen) == 2
    assert all("Authorization" not in seen.headers for seen in thief.seen)


def test_authorization_follows_a_redirect_on_the_same_host(store, registry):
    registry.put(make_image())
    wants_token(registry, f"{registry.url}/token")
    gives_token(registry)
    registry.on(
        "GET",
        r"/v2/app/manifests/latest",
        lambda e: e.reply(302, headers={"Location": "/v2/app/manifests/moved"}),
    )
    registry.put(make_image(), tag="moved")

    store.pull(f"{registry.address}/app")


def test_credentials_do_not_go_to_a_mirror(store, registry, make_registry):
    mirror = make_registry()
    mirror.put(make_image())
    wants_token(mirror, f"{mirror.url}/token")
    gives_token(mirror)
    settings = RegistrySettings(
        mirrors_by_prefix={registry.address: (mirror.url,)}, certificate_dirs=()
    )

    store.pull(f"{registry.address}/app", settings=settings, credentials=ALICE)

    assert all("Basic" not in s.headers.get("Authorization", "") for s in mirror.seen)


def test_a_realm_elsewhere_gets_no_credentials_by_a_redirect(store, registry, make_registry):
    registry.put(make_image())
    thief = make_registry()
    gives_token(thief)
    wants_token(registry, f"{registry.url}/token")
    registry.on(
        "GET", r"/token.*", lambda e: e.reply(302, headers={"Location": f"{thief.url}/token"})
    )

    store.pull(f"{registry.address}/app", credentials=ALICE)

    assert all("Authorization" not in seen.headers for seen in thief.seen)


SECURE = Endpoint("https://registry.example.com")
INSECURE = Endpoint("http://registry.corp:5000", verify_tls=False)


@pytest.mark.parametrize(
    ("realm", "endpoint"),
    [
        ("http://auth.example.com/token", SECURE),
        ("https://127.0.0.1/token", SECURE),
        ("https://localhost/token", SECURE),
        ("https://[::1]/token", SECURE),
        ("https://[::ffff:10.0.0.1]/token", SECURE),
        ("https://10.1.2.3/token", SECURE),
        ("https://192.168.0.1/token", SECURE),
        ("https://169.254.169.254/latest/meta-data", SECURE),
        ("http://169.254.169.254/latest/meta-data", INSECURE),
        ("http://10.0.0.1/token", INSECURE),
        ("https://0.0.0.0/token", SECURE),
        ("file:///etc/passwd", SECURE),
        ("gopher://x/", SECURE),
        ("https://", SECURE),
        ("", SECURE),
        ("https://[bad/", SECURE),
    ],
)
def test_a_realm_that_we_do_not_go_to(realm, endpoint):
    with pytest.raises(RealmRefused):
        check_realm(realm, endpoint)


@pytest.mark.parametrize(
    ("realm", "endpoint"),
    [
        ("https://auth.example.com/token", SECURE),
        ("https://registry.example.com/token", SECURE),
        ("http://registry.corp:5001/token", INSECURE),
        ("http://auth.corp/token", INSECURE),
        ("https://10.0.0.1:5001/token", Endpoint("https://10.0.0.1:5000")),
        ("http://127.0.0.1:5001/t", Endpoint("http://127.0.0.1:5000", verify_tls=False)),
    ],
)
def test_a_realm_that_is_the_registrys_own_or_public(realm, endpoint):
    check_realm(realm, endpoint)


def test_a_private_realm_is_never_asked(store, registry):
    registry.put(make_image())
    wants_token(registry, "http://10.255.255.1/token")

    with pytest.raises(RealmRefused, match="it is a private address and not the registry's own"):
        store.pull(f"{registry.address}/app", credentials=ALICE)
    assert store.is_empty()


# Parsing


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        (["Basic"], [Challenge("basic")]),
        (['Basic realm="a b"'], [Challenge("basic", {"realm": "a b"})]),
        (
            ['Bearer realm="https://a/b?c=d",service="s",scope="repository:x:pull,push"'],
            [
                Challenge(
                    "bearer",
                    {"realm": "https://a/b?c=d", "service": "s", "scope": "repository:x:pull,push"},
                )
            ],
        ),
        (
            ['Basic realm="r", Bearer realm=x , service="q\\"q"'],
            [
                Challenge("basic", {"realm": "r"}),
                Challenge("bearer", {"realm": "x", "service": 'q"q'}),
            ],
        ),
        (
            ["Negotiate", "BEARER Realm=x"],
            [Challenge("negotiate"), Challenge("bearer", {"realm": "x"})],
        ),
        (["", '"', "=", 'Bearer realm="unterminated'], [Challenge("bearer")]),
    ],
)  # fmt: skip
def test_challenges_are_read(headers, challenges):
    assert parse_challenges(headers) == challenges


def encode(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    ("header", "credentials"),
    [
        ("", None),
        (encode({}), None),
        (encode(None), None),
        (encode({"username": "", "password": ""}), None),
        (encode({"username": "a", "password": "b"}), Credentials("a", "b")),
        (encode({"username": "a", "password": "b"}).rstrip("="), Credentials("a", "b")),
        (encode({"identitytoken": "t", "email": "x"}), Credentials(identity_token="t")),
        (encode({"registrytoken": "t"}), Credentials(registry_token="t")),
        (
            encode({"auth": base64.b64encode(b"a:b:c").decode(), "serveraddress": "s"}),
            Credentials("a", "b:c", server_address="s"),
        ),
    ],
)
def test_x_registry_auth_is_read(header, credentials):
    assert parse_registry_auth(header) == credentials


@pytest.mark.parametrize(
    "header",
    [
        "{}",
        "%%%",
        "bm90IGpzb24=",
        encode([]),
        encode({"username": 1}),
        encode({"auth": "x"}),
        "A" * 70_000,
    ],
)
def test_a_malformed_x_registry_auth_is_refused(header):
    with pytest.raises(CutawayError, match="^invalid "):
        parse_registry_auth(header)


def test_credentials_are_never_printed():
    shown = repr(credentials_from_json({"username": "a", "password": "pw", "identitytoken": "idt"}))

    assert "pw" not in shown
    assert "idt" not in shown


# Login


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000"),
        ("ghcr.io", "ghcr.io"),
    ],
)
def test_server_addresses_name_domains(address, domain):
    assert domain_of(address) == domain


def test_login_tries_the_credentials(registry):
    def rule(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization") == ALICE.basic_header:
            exchange.reply(200)
        else:
            exchange.reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    registry.on("GET", "/v2/", rule)

    right = Credentials("alice", "s3cret", server_address=registry.address)
    login(right, QUICK)
    wrong = Credentials("alice", "no", server_address=registry.url)
    with pytest.raises(Unauthorized) as caught:
        login(wrong, QUICK)
    assert str(caught.value) == (
        f"login attempt to http://{registry.address}/v2/ failed with status: 401 Unauthorized"
    )


def test_login_by_token(registry):
    wants_token(registry, f"{registry.url}/token")
    gives_token(registry)
    login(Credentials("a", "b", server_address=registry.address), QUICK)

    registry.on("GET", r"/token.*", lambda e: e.reply(401))
    with pytest.raises(Unauthorized, match="unauthorized: incorrect username or password"):
        login(Credentials("a", "b", server_address=registry.address), QUICK)


def test_login_to_nobody(registry):
    registry.close()
    with pytest.raises(CutawayError, match="connection refused"):
        login(Credentials("a", "b", server_address=registry.address), QUICK)
