"""Restart policies: Docker's four, one of ours, and the back-off by label.

The shim acts on the policy, so that a container is restarted while the engine is down.
"""

from collections.abc import Mapping

from cutaway.engine.units import parse_duration_ns
from cutaway.errors import InvalidParameter
from cutaway.model import RestartPolicy
from cutaway.shim import protocol

POLICY_LABEL = "com.cutaway.restart"
DELAY_LABEL = "com.cutaway.restart-delay"


def plan_restart(policy: RestartPolicy, labels: Mapping[str, str]) -> protocol.RestartPolicy:
    """Decide when the shim starts the container again.

    Labels let the stock docker CLI say what its flags can't: ``com.cutaway.restart=on-unhealthy:3``
    and ``com.cutaway.restart-delay=500ms``.

    Raises:
        InvalidParameter: a label that says nothing we know.
    """
    name, retries = policy.name or "no", policy.maximum_retry_count
    if POLICY_LABEL in labels:
        name, _, count = labels[POLICY_LABEL].partition(":")
        if name != "on-unhealthy" or not (count or "0").isdecimal():
            raise InvalidParameter(f"label {POLICY_LABEL}: expected on-unhealthy[:n]")
        retries = int(count or 0)
    delay_ms = 100
    if DELAY_LABEL in labels:
        try:
            delay_ms = parse_duration_ns(labels[DELAY_LABEL]) // 1_000_000
        except ValueError as error:
            raise InvalidParameter(f"label {DELAY_LABEL}: {error}") from None
    return protocol.RestartPolicy(name=name, maximum_retries=retries, delay_ms=max(delay_ms, 1))
