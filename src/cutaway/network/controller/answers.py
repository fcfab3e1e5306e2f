"""What the controller can tell about the firewall: who was refused."""

from cutaway.linux.nftables import dump_elements
from cutaway.network.controller.parts import ControllerParts
from cutaway.network.firewall.refusals import Refusal, read_refusal
from cutaway.network.firewall.sets import Tables


class Answers(ControllerParts):
    """Questions about running sandboxes; nothing is changed."""

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
            with self._kernel:
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
