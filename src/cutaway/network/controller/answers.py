"""What the controller can tell of the firewall: who was refused, who gets in, who is in the way."""

from cutaway.errors import NotFound
from cutaway.linux.nftables import dump_elements
from cutaway.network.controller.parts import ControllerParts
from cutaway.network.facts import probe_network_facts
from cutaway.network.firewall.diagnosis import Finding, Scene, diagnose
from cutaway.network.firewall.reaching import Reach, find_published, reach_of
from cutaway.network.firewall.refusals import Refusal, read_refusal
from cutaway.network.firewall.sets import Tables
from cutaway.network.firewall.tracing.rulebook import read_rulebook
from cutaway.network.publishing.hostports import find_owner


class Answers(ControllerParts):
    """Questions about what runs; nothing is changed."""

    def denied(self, sandbox_id: str) -> list[Refusal]:
        """Return what a container's egress policy refused in the last hour, newest first.

        Raises:
            NotFound: it does not run.
        """
        with self._lock:
            sandbox = self._book.sandbox(sandbox_id)
            told = self._services.client.ask_denied(sandbox_id)
            own = {a for e in sandbox.endpoints for a in (e.address, e.address_v6) if a}
            table = Tables(self.settings.instance).inet
            firewall = self._host_scope().firewall
            elements = [
                element
                for name in ("denied4", "denied6")
                for element in dump_elements(firewall, table, name)
            ]
        refusals = [read_refusal(element, told.known) for element in elements]
        found = [refusal for source, refusal in refusals if source in own]
        found += [Refusal(name=name, seconds_ago=ago) for name, ago in told.names.items()]
        return sorted(found, key=lambda refusal: refusal.seconds_ago)

    def reach(self, port: int, protocol: str) -> list[Reach]:
        """Tell who can reach a port of the host, and which rule decides.

        Raises:
            NotFound: no container publishes it; the sentence says who listens instead.
        """
        with self._lock:
            networks = dict(self._book.networks)
            sandboxes = tuple(self._book.sandboxes.values())
            found = list(find_published(port, protocol, sandboxes, networks))
            if not found:
                raise NotFound(_nobody(port, protocol))
            facts = probe_network_facts(self._host_scope().host)
            book = read_rulebook(self._host_scope().firewall, but=self.settings.instance)
        return [r for p in found for r in reach_of(p, facts, networks.values(), book)]

    def diagnose(self) -> list[Finding]:
        """Look at all that networks need, and name what is in the way."""
        with self._lock:
            scope = self._host_scope()
            sandboxes = tuple(self._book.sandboxes.values())
            scene = Scene(
                facts=probe_network_facts(scope.host),
                networks=dict(self._book.networks),
                sandboxes=sandboxes,
                book=read_rulebook(scope.firewall, but=self.settings.instance),
                rules_are_whole=self._rules_are_whole(scope),
                process_is_alive=self._services.client.is_alive(),
                process_is_needed=any(self._needs_services(s) for s in sandboxes),
            )
        return diagnose(scene)


def _nobody(port: int, protocol: str) -> str:
    owner = find_owner(protocol, port, missing="")
    listens = f"; {owner} listens on it" if owner else ""
    return f"no container publishes port {port}/{protocol}{listens}"
