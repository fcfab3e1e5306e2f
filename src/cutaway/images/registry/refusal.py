"""A registry's own error answers, and what they mean to a person who pulls or pushes."""

import http
import json

from cutaway.errors import CutawayError, Forbidden, NotFound, System, Unauthorized, Unavailable
from cutaway.oci import Reference


class RegistryRefusal(System):
    """A registry answered with an error.

    Attributes:
        status: of the HTTP answer.
        code: of the first error in its body, ``MANIFEST_UNKNOWN``; empty if the body has none.
        message: the registry's words.
    """

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status = status
        self.code = code
        self.message = message
        if code:
            # docker/distribution prints "manifest unknown: manifest unknown".
            super().__init__(f"{code.lower().replace('_', ' ')}: {message}")
        else:
            super().__init__(f"received unexpected HTTP status: {describe_status(status)}")


class PullDenied(NotFound):
    """The repository does not exist or may not be read."""


class ManifestNotFound(NotFound):
    """The repository has no such tag or digest."""


class BlobNotFound(NotFound):
    """The repository lacks a part of the image."""


class NoMatchingManifest(NotFound):
    """The index has no image for the platform."""


def describe_status(status: int) -> str:
    """Return ``500 Internal Server Error``."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def parse_refusal(status: int, body: bytes) -> RegistryRefusal:
    """Read an error answer: ``{"errors": [{"code": …, "message": …}]}``, or anything else."""
    try:
        first = json.loads(body)["errors"][0]
        code, message = first["code"], first.get("message") or ""
        if isinstance(code, str) and isinstance(message, str) and code:
            return RegistryRefusal(status, code[:100], message[:1000])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    try:
        details = json.loads(body)["details"]  # what token servers answer
        if isinstance(details, str):
            return RegistryRefusal(status, "UNAUTHORIZED", details[:1000])
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return RegistryRefusal(status)


def translate_pull(refusal: RegistryRefusal, reference: Reference) -> CutawayError:
    """Return the error that Docker gives for a refused pull.

    Source: moby distribution/errors.go, translatePullError and notFoundError.
    """
    if refusal.code in ("DENIED", "UNAUTHORIZED") or refusal.status in (401, 403):
        cause = (
            str(refusal) if refusal.code else "denied: requested access to the resource is denied"
        )
        if refusal.code == "UNAUTHORIZED" and "required" not in refusal.message:
            return Unauthorized(cause)  # credentials were given, and are wrong
        return PullDenied(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may "
            "require 'docker login': denied: requested access to the resource is denied"
        )
    if refusal.code == "NAME_UNKNOWN":
        return ManifestNotFound(f"repository {reference.familiar_name} not found: {refusal}")
    if refusal.code == "BLOB_UNKNOWN":
        return BlobNotFound(
            f"{reference.familiar}: {refusal}: the manifest names a blob that the registry "
            "does not have (urls of foreign layers are not followed)"
        )
    if refusal.code == "MANIFEST_UNKNOWN" or refusal.status == 404:
        return ManifestNotFound(
            f"manifest for {reference.familiar} not found: manifest unknown: manifest unknown"
        )
    if refusal.status == 429 or refusal.status >= 500:
        return Unavailable(str(refusal))
    return refusal


def translate_push(refusal: RegistryRefusal) -> CutawayError:
    """Return the error that Docker gives for a refused push: the registry's words."""
    if refusal.code == "DENIED" or refusal.status == 403:
        return Forbidden(str(refusal) if refusal.code else _DENIED)
    if refusal.code == "UNAUTHORIZED" or refusal.status == 401:
        return Unauthorized(
            str(refusal) if refusal.code else "unauthorized: authentication required"
        )
    if refusal.status == 429 or refusal.status >= 500:
        return Unavailable(str(refusal))
    return refusal


_DENIED = "denied: requested access to the resource is denied"
