"""Against Debian's docker-registry and skopeo: pull, push, passwords, certificates."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cutaway.errors import CutawayError, Unauthorized
from cutaway.images.push import PushRequest, push
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.referrers import fetch_referrers
from cutaway.images.registry.refusal import ManifestNotFound
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.tls import CertificateRefused
from cutaway.oci import Digest, Reference
from support.hostile_registry import MANIFEST_TYPE, HostileRegistry, described, make_image
from support.registry import ALICE

REGISTRY = shutil.which("docker-registry")
SKOPEO = shutil.which("skopeo")

pytestmark = pytest.mark.skipif(not (REGISTRY and SKOPEO), reason="no docker-registry or skopeo")


@dataclass
class Server:
    """A running docker-registry."""

    address: str
    directory: Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def start_registry(tmp_path_factory) -> Iterator:
    """A function that starts a registry with more configuration."""
    running: list[subprocess.Popen] = []

    def start(http: dict | None = None, **more) -> Server:
        directory = tmp_path_factory.mktemp("registry")
        address = f"127.0.0.1:{free_port()}"
        config = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            "http": {"addr": address, **(http or {})},
            **more,
        }
        (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        command = [str(REGISTRY), "serve", str(directory / "config.yml")]
        with open(directory / "log", "wb") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        host, port = address.split(":")
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return Server(address, directory)
            except OSError:
                assert time.monotonic() < deadline, (directory / "log").read_text()
                time.sleep(0.05)

    yield start
    for process in running:
        process.terminate()
        process.wait()


@pytest.fixture
def layout(tmp_path) -> str:
    """An OCI layout with one image, made without our code."""
    image = make_image(layers=3, size=200_000)
    root = tmp_path / "layout"
    (root / "blobs/sha256").mkdir(parents=True)
    data = image.encode()
    for blob in (*image.blobs.values(), data):
        name = described(blob, "")["digest"].removeprefix("sha256:")
        (root / "blobs/sha256" / name).write_bytes(blob)
    name = {"org.opencontainers.image.ref.name": "latest"}
    entry = described(data, MANIFEST_TYPE, annotations=name)
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{root}:latest"


def skopeo(*arguments: str) -> str:
    ran = subprocess.run([str(SKOPEO), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_skopeo_pushed_is_pulled_pushed_and_read_again_by_skopeo(
    store, start_registry, layout, tmp_path
):
    server = start_registry()
    target = f"docker://{server.address}/app:latest"
    skopeo("copy", "--dest-tls-verify=false", layout, target)
    wanted = json.loads(skopeo("inspect", "--tls-verify=false", target))

    image = store.pull(f"{server.address}/app")
    assert [str(r.digest) for r in image.repo_digests] == [wanted["Digest"]]

    # Our store, in place, is a layout that skopeo reads.
    name = f"oci:{store.root}/images:{server.address}/app:latest"
    inspected = json.loads(skopeo("inspect", name))
    assert inspected["Digest"] == wanted["Digest"]
    skopeo("copy", name, f"oci:{tmp_path}/copy:x")

    store.images.tag(image.id, Reference.parse(f"{server.address}/other:2"))
    request = PushRequest(Reference.parse(f"{server.address}/other:2"))
    assert push(store.images, request) == {"2": wanted["Digest"]}
    again = f"docker://{server.address}/other:2"
    assert json.loads(skopeo("inspect", "--tls-verify=false", again))["Layers"] == wanted["Layers"]

    with pytest.raises(ManifestNotFound) as caught:
        store.pull(f"{server.address}/other:3")
    assert str(caught.value) == (
        f"manifest for {server.address}/other:3 not found: manifest unknown: manifest unknown"
    )


def test_what_skopeo_copies_into_our_store_is_an_image(store, layout):
    skopeo("copy", layout, f"oci:{store.root}/images:example.com/given:1")

    image = store.images.resolve("example.com/given:1")

    assert len(image.layers) == 3


def test_docker_schema_2_and_zstd_as_skopeo_makes_them(store, start_registry, layout):
    server = start_registry()
    for tag, options in (
        ("v2s2", ["--format", "v2s2"]),
        ("zstd", ["--dest-compress-format", "zstd", "--dest-compress"]),
    ):
        target = f"docker://{server.address}/app:{tag}"
        skopeo("copy", "--dest-tls-verify=false", *options, layout, target)
        image = store.pull(f"{server.address}/app:{tag}")
        assert store.images.is_unpacked(image)


def test_passwords(store, start_registry, layout, tmp_path):
    (tmp_path / "htpasswd").write_text(ALICE)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    server = start_registry(auth=auth)
    right = Credentials("alice", "s3cret")
    skopeo(
        "copy", "--dest-tls-verify=false", "--dest-creds=alice:s3cret", layout,
        f"docker://{server.address}/app:latest",
    )  # fmt: skip

    with pytest.raises(Unauthorized, match="no basic auth credentials"):
        store.pull(f"{server.address}/app")
    with pytest.raises(CutawayError, match="pull access denied"):
        store.pull(f"{server.address}/app", credentials=Credentials("alice", "wrong"))
    image = store.pull(f"{server.address}/app", credentials=right)

    store.images.tag(image.id, Reference.parse(f"{server.address}/mine"))
    reference = Reference.parse(f"{server.address}/mine")
    with pytest.raises(Unauthorized):
        push(store.images, PushRequest(reference))
    assert push(store.images, PushRequest(reference, credentials=right))


def test_a_referrer_is_listed_by_its_tag(store, start_registry, repository_of):
    """This registry has no referrers API; skopeo reads what we keep in its place."""
    server = start_registry()
    signature = make_image(salt="signature")
    subject = "sha256:" + "5" * 64
    signature.manifest["subject"] = {"mediaType": MANIFEST_TYPE, "digest": subject, "size": 5}
    with HostileRegistry() as source:
        source.put(signature)
        image = store.pull(f"{source.address}/app")
    target = Reference.parse(f"{server.address}/app:signature")
    store.images.tag(image.id, target)
    push(store.images, PushRequest(target))

    name = f"docker://{server.address}/app:{subject.replace(':', '-')}"
    listed = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", name))["manifests"]
    assert [one["digest"] for one in listed] == [image.manifest.digest]
    found = fetch_referrers(repository_of(target, "pull"), Digest(subject))
    assert [one.digest for one in found.manifests] == [image.manifest.digest]


# Certificates


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make_authority(directory: Path) -> None:
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", f"{directory}/ca.key", "-out", f"{directory}/ca.crt", "-subj", "/CN=Test CA",
        "-days", "30",
    )  # fmt: skip


def make_certificate(directory: Path, name: str, days: str, subject: str) -> None:
    """Make NAME.crt and NAME.key signed by the authority."""
    openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.csr",
        "-subj", f"/CN={name}",
    )  # fmt: skip
    (directory / "ext").write_text(f"subjectAltName={subject}\n")
    if days == "future":
        make_future_certificate(directory, name)
        return
    openssl(
        "x509", "-req", "-in", f"{directory}/{name}.csr", "-CA", f"{directory}/ca.crt",
        "-CAkey", f"{directory}/ca.key", "-CAcreateserial", "-out", f"{directory}/{name}.crt",
        "-days", days, "-extfile", f"{directory}/ext",
    )  # fmt: skip


def make_future_certificate(directory: Path, name: str) -> None:
    """Sign NAME.csr for the year 2098: openssl x509 can't, openssl ca can."""
    (directory / "index").touch()
    (directory / "ca.cnf").write_text(
        f"""[ca]
default_ca=own
[own]
database={directory}/index
new_certs_dir={directory}
rand_serial=yes
default_md=sha256
policy=any
unique_subject=no
[any]
commonName=supplied
"""
    )
    openssl(
        "ca", "-batch", "-config", f"{directory}/ca.cnf", "-cert", f"{directory}/ca.crt",
        "-keyfile", f"{directory}/ca.key", "-in", f"{directory}/{name}.csr", "-notext",
        "-out", f"{directory}/{name}.crt", "-extfile", f"{directory}/ext",
        "-startdate", "20980101000000Z", "-enddate", "20990101000000Z",
    )  # fmt: skip


@pytest.fixture
def certificates(tmp_path) -> Path:
    directory = tmp_path / "certificates"
    directory.mkdir()
    make_authority(directory)
    return directory


SECURE = RegistrySettings(backoff_s=0.01, certificate_dirs=())


def strict(monkeypatch) -> None:
    """Treat loopback like any other host, so that its certificate counts."""
    monkeypatch.setattr("cutaway.images.registry.settings.is_loopback", lambda host: False)
    monkeypatch.setattr(
        "cutaway.images.registry.transport.is_insecure", lambda netloc, settings: False
    )


@pytest.fixture
def serve_tls(start_registry, certificates, layout):
    """A function that starts a TLS registry, with the image in it."""

    def serve(
        days: str = "10", subject: str = "IP:127.0.0.1", auth: dict | None = None, **tls
    ) -> Server:
        make_certificate(certificates, "server", days, subject)
        paths = {
            "certificate": str(certificates / "server.crt"),
            "key": str(certificates / "server.key"),
        }
        more = {"auth": auth} if auth else {}
        server = start_registry({"tls": paths | tls}, **more)
        if not (tls or auth):
            skopeo(
                "copy", "--dest-tls-verify=false", layout, f"docker://{server.address}/app:latest"
            )
        return server

    return serve


def test_an_unknown_issuer_is_refused_with_the_chain_and_the_ways_out(
    store, serve_tls, certificates, monkeypatch, tmp_path
):
    strict(monkeypatch)
    server = serve_tls()

    with pytest.raises(CertificateRefused) as caught:
        store.pull(f"{server.address}/app", settings=SECURE)

    text = str(caught.value)
    first = text.splitlines()[0]
    assert first.startswith(
        f'Get "https://{server.address}/v2/": tls: failed to verify certificate: x509: '
        "certificate signed by unknown authority"
    )
    assert "subject commonName=server" in text
    assert "issuer commonName=Test CA" in text
    assert "this machine's clock: " in text
    assert f"certs.d/{server.address}/ca.crt" in text
    assert "--tls-verify=false" in text
    assert store.is_empty()

    # The two ways out, and the directory.
    store.pull(
        f"{server.address}/app",
        settings=RegistrySettings(ca=(certificates / "ca.crt").read_text(), certificate_dirs=()),
    )
    store.pull(
        f"{server.address}/app",
        settings=RegistrySettings(tls_verify=False, certificate_dirs=()),
    )
    directory = tmp_path / "certs.d" / server.address
    directory.mkdir(parents=True)
    shutil.copy(f"{certificates}/ca.crt", directory)
    by_directory = RegistrySettings(certificate_dirs=(str(tmp_path / "certs.d"),))
    store.pull(f"{server.address}/app", settings=by_directory)


@pytest.mark.parametrize(
    ("days", "subject", "message"),
    [
        ("10", "DNS:registry.example", "certificate is valid for another"),
        ("-1", "IP:127.0.0.1", "it has expired"),
    ],
)
def test_a_certificate_that_is_not_valid_is_told_why(
    store, serve_tls, certificates, monkeypatch, days, subject, message
):
    strict(monkeypatch)
    try:
        server = serve_tls(days, subject)
    except subprocess.CalledProcessError:
        pytest.skip("this openssl can't make an expired certificate")
    settings = RegistrySettings(ca=(certificates / "ca.crt").read_text(), certificate_dirs=())

    with pytest.raises(CertificateRefused, match=message):
        store.pull(f"{server.address}/app", settings=settings)


def test_loopback_needs_no_valid_certificate(store, serve_tls):
    server = serve_tls()
    store.pull(f"{server.address}/app", settings=SECURE)
    assert not any("http://" in line for line in store.explained)


def test_a_client_certificate_is_shown(store, serve_tls, certificates, tmp_path):
    server = serve_tls(clientcas=[f"{certificates}/ca.crt"])
    with pytest.raises(CutawayError, match="tls"):
        store.pull(f"{server.address}/app", settings=SECURE)

    make_certificate(certificates, "client", "10", "DNS:client")
    directory = tmp_path / "certs.d" / server.address
    directory.mkdir(parents=True)
    shutil.copy(f"{certificates}/client.crt", directory / "client.cert")
    settings = RegistrySettings(certificate_dirs=(str(tmp_path / "certs.d"),))
    with pytest.raises(CutawayError, match="missing key .*client.key for client certificate"):
        store.pull(f"{server.address}/app", settings=settings)
    shutil.copy(f"{certificates}/client.key", directory)
    with pytest.raises(ManifestNotFound):
        store.pull(f"{server.address}/app", settings=settings)
    os.unlink(directory / "client.cert")
    with pytest.raises(CutawayError, match=r"missing client certificate .*client.cert for key"):
        store.pull(f"{server.address}/app", settings=settings)
    os.unlink(directory / "client.key")
    (directory / "bad.crt").write_text("rubbish")
    with pytest.raises(CutawayError, match="could not load CA certificate"):
        store.pull(f"{server.address}/app", settings=settings)


def test_a_certificate_of_the_future_is_told_with_its_validity_and_the_clock(
    store, serve_tls, certificates, monkeypatch
):
    strict(monkeypatch)
    server = serve_tls("future")
    settings = RegistrySettings(ca=(certificates / "ca.crt").read_text(), certificate_dirs=())
    with pytest.raises(CertificateRefused) as caught:
        store.pull(f"{server.address}/app", settings=settings)
    text = str(caught.value)
    assert "it is not yet valid" in text.splitlines()[0]
    assert "valid from Jan  1 00:00:00 2098 GMT to Jan  1 00:00:00 2099 GMT" in text
    assert "this machine's clock: " in text


def test_push_with_a_password_to_a_registry_whose_certificate_has_expired(
    store, serve_tls, start_registry, certificates, layout, monkeypatch, tmp_path
):
    plain = start_registry()
    skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{plain.address}/app:latest")
    image = store.pull(f"{plain.address}/app")
    strict(monkeypatch)
    (tmp_path / "htpasswd").write_text(ALICE)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    server = serve_tls("-1", auth=auth)
    name = Reference.parse(f"{server.address}/mine")
    store.images.tag(image.id, name)
    trusted = (certificates / "ca.crt").read_text()
    alice = Credentials("alice", "s3cret")

    strict_settings = RegistrySettings(ca=trusted, certificate_dirs=())
    with pytest.raises(CertificateRefused, match="it has expired"):
        push(store.images, PushRequest(name, credentials=alice, settings=strict_settings))
    lax = RegistrySettings(tls_verify=False, certificate_dirs=())
    with pytest.raises(Unauthorized):
        push(store.images, PushRequest(name, settings=lax))
    pushed = push(store.images, PushRequest(name, credentials=alice, settings=lax))

    read = skopeo(
        "inspect", "--tls-verify=false", "--creds=alice:s3cret", f"docker://{name.name}:latest"
    )
    assert json.loads(read)["Digest"] == pushed["latest"]
