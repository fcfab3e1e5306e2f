"""A certificate authority for tests, made with openssl(1)."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: str
    key: str


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Signs certificates in a directory of its own."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.name = name
        self.certificate = str(directory / f"{name}.pem")
        self._key = str(directory / f"{name}-key.pem")
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", self._key, "-out", self.certificate, "-days", "30",
            "-subj", f"/CN={name}",
        )  # fmt: skip

    def issue(self, name: str, usage: str, *, days: int = 30, address: str = "127.0.0.1") -> Pair:
        """Sign a certificate for an address and localhost.

        Args:
            name: its common name.
            usage: ``serverAuth`` or ``clientAuth``.
            days: of validity; negative ones are over already.
            address: where the server is.
        """
        pair = Pair(
            str(self.directory / f"{self.name}-{name}.pem"),
            str(self.directory / f"{self.name}-{name}-key.pem"),
        )
        request = self.directory / f"{name}.csr"
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", pair.key, "-out", str(request), "-subj", f"/CN={name}",
        )  # fmt: skip
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(
            f"extendedKeyUsage={usage}\nsubjectAltName=IP:{address},DNS:localhost\n"
        )
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-out", pair.certificate, "-days", str(days),
            "-extfile", str(extensions),
        )  # fmt: skip
        Path(pair.key).chmod(0o600)
        return pair
