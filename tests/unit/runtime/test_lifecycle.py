"""The table of states, every cell of it."""

import pytest

from cutaway.runtime.lifecycle import (
    ALLOWED,
    TRANSITIONS,
    Event,
    Operation,
    Status,
    WrongStatus,
    check_operation,
    next_status,
)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("event", Event)
def test_every_cell_is_a_status_or_a_mistake(status: Status, event: Event) -> None:
    if (status, event) in TRANSITIONS:
        assert next_status(status, event) is TRANSITIONS[status, event]
    else:
        with pytest.raises(ValueError, match=f"that is {status} can't be {event}"):
            next_status(status, event)


def test_life_goes_from_creating_to_stopped() -> None:
    status = Status.CREATING
    for event in (Event.PREPARED, Event.STARTED, Event.EXITED):
        status = next_status(status, event)
    assert status is Status.STOPPED


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("operation", Operation)
def test_operation_is_allowed_or_a_conflict(status: Status, operation: Operation) -> None:
    if status in ALLOWED[operation]:
        check_operation("web", operation, status)
        return
    with pytest.raises(WrongStatus) as caught:
        check_operation("web", operation, status)
    assert (caught.value.operation, caught.value.status) == (operation, status)
    assert caught.value.container_id == "web"


@pytest.mark.parametrize(
    ("operation", "status", "text"),
    [
        (Operation.START, Status.RUNNING, "cannot start an already running container"),
        (Operation.START, Status.STOPPED, "cannot start a container that has stopped"),
        (Operation.KILL, Status.STOPPED, "container not running"),
        (Operation.EXEC, Status.STOPPED, "cannot exec in a stopped container"),
        (Operation.DELETE, Status.RUNNING, "cannot delete container web: it is running"),
    ],
)
def test_refusals_are_runcs_words(operation: Operation, status: Status, text: str) -> None:
    with pytest.raises(WrongStatus, match=text):
        check_operation("web", operation, status)
