"""The step that asks a plugin.

What a plugin changes on the host is its own; the step records that it was asked, what, and what it
answered. It is not undone: a release does that, which outlives the engine.
"""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from cutaway.network.remote import messages
from cutaway.network.remote.calls import Call
from cutaway.plugins import Answer, PluginRefused, PluginRegistry
from cutaway.steps import Ledger, Step

AnswerT = TypeVar("AnswerT", bound=Answer)

ANSWERS: dict[str, type[Answer]] = {
    "NetworkDriver.GetCapabilities": messages.DriverCapabilities,
    "NetworkDriver.GwAllocCheck": messages.GatewayCheck,
    "NetworkDriver.CreateEndpoint": messages.CreatedEndpoint,
    "NetworkDriver.Join": messages.Joined,
    "NetworkDriver.EndpointOperInfo": messages.OperationalInfo,
    "IpamDriver.GetCapabilities": messages.IpamCapabilities,
    "IpamDriver.GetDefaultAddressSpaces": messages.AddressSpaces,
    "IpamDriver.RequestPool": messages.RequestedPool,
    "IpamDriver.RequestAddress": messages.RequestedAddress,
}
"""Methods with an answer; all others have ``Done``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPlugin(Step[PluginRegistry]):
    """Ask a plugin for one thing.

    Attributes:
        plugin: its name.
        method: ``NetworkDriver.Join``.
        body: the JSON object.
    """

    plugin: str
    method: str
    body: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"ask the plugin {self.plugin}: {self.method}"

    def shell(self) -> str:
        """See ``Step``."""
        return (
            f"curl --unix-socket /run/docker/plugins/{self.plugin}.sock "
            f"-d '{self.body}' http://plugin/{self.method}"
        )

    def apply(self, scope: PluginRegistry) -> Any:
        """Ask; return the answer as a JSON value.

        Raises:
            PluginNotFound, PluginLacks, PluginFailed, PluginRefused: the plugin's fault.
        """
        plugin = scope.get(self.plugin, self.method.partition(".")[0])
        answer = ANSWERS.get(self.method, messages.Done)
        return msgspec.to_builtins(plugin.client.call(self.method, json.loads(self.body), answer))


class Asker:
    """Asks plugins, and has the ledger remember it.

    Args:
        plugins: finds them.
        ledger: records the questions.
        why: as in every step.
    """

    def __init__(self, plugins: PluginRegistry, ledger: Ledger, why: str) -> None:
        self._plugins = plugins
        self._ledger = ledger
        self._why = why

    def ask(self, call: Call, answer: type[AnswerT]) -> AnswerT:
        """Make a call and return its answer.

        Raises:
            CutawayError: see ``AskPlugin.apply``.
        """
        body = json.dumps(call.arguments)
        step = AskPlugin(why=self._why, plugin=call.plugin, method=call.method, body=body)
        return msgspec.convert(self._ledger.apply(step, self._plugins), answer)

    def tell(self, call: Call) -> None:
        """Make a call whose answer says nothing."""
        self.ask(call, messages.Done)

    def ask_if_known(self, call: Call, answer: type[AnswerT], otherwise: AnswerT) -> AnswerT:
        """Make a call that older plugins may not know (status 404); ``otherwise`` is then true."""
        try:
            return self.ask(call, answer)
        except PluginRefused as refusal:
            if refusal.status != 404:
                raise
            return otherwise
