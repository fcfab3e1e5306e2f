"""The socket's own logic, against answers prepared in advance at the byte level."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from cutaway.linux import netlink as nl
from cutaway.linux.errors import KernelError

Sockets = tuple[nl.NetlinkSocket, socket.socket]
DONE, ERROR = 3, 2
ASK = nl.Request(18, 0, b"body", "RTM_GETLINK")


def message(kind: int, sequence: int, body: bytes, flags: int = 0) -> bytes:
    data = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
    return data + bytes(-len(data) % 4)


def acknowledgement(sequence: int, code: int = 0) -> bytes:
    return message(ERROR, sequence, struct.pack("=i", -code) + bytes(16))


@pytest.fixture
def pair() -> Iterator[Sockets]:
    """A netlink socket whose kernel is the test."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with nl.NetlinkSocket(nl.NETLINK_ROUTE) as netlink:
        netlink._socket.close()
        netlink._socket = ours
        yield netlink, kernel
    kernel.close()


def test_only_the_last_request_asks_for_an_acknowledgement(pair: Sockets) -> None:
    netlink, kernel = pair
    kernel.send(acknowledgement(2))
    assert netlink.request([ASK, ASK]) == []
    first, second = nl.parse_messages(kernel.recv(1000))
    assert (first.flags, second.flags) == (nl.NLM_F_REQUEST, nl.NLM_F_REQUEST | nl.NLM_F_ACK)
    assert (first.sequence, second.sequence) == (1, 2)


def test_answers_to_an_earlier_exchange_are_ignored(pair: Sockets) -> None:
    netlink, kernel = pair
    kernel.send(acknowledgement(77, errno.EPERM) + acknowledgement(0) + acknowledgement(1))
    assert netlink.try_requests([ASK]) == [None]


def test_the_first_failure_is_raised_and_all_answers_are_read(pair: Sockets) -> None:
    netlink, kernel = pair
    for answer in (acknowledgement(2, errno.EEXIST), acknowledgement(1, errno.EPERM)):
        kernel.send(answer)
    kernel.send(acknowledgement(3))
    with pytest.raises(KernelError) as error:
        netlink.request([ASK] * 3)
    assert error.value.errno == errno.EPERM
    kernel.send(acknowledgement(4))
    assert netlink.request([ASK]) == []


def test_the_kernels_words_are_read_with_and_without_the_request_repeated(pair: Sockets) -> None:
    netlink, kernel = pair
    words = nl.attribute_text(1, "because")
    header = struct.pack("=iIHHII", -1, 20, 18, 0, 1, 0)
    kernel.send(message(ERROR, 1, header + words, 0x300))
    kernel.send(message(ERROR, 2, header + b"body" + words, 0x200))
    for _ in range(2):
        with pytest.raises(KernelError, match=r"RTM_GETLINK: Operation not permitted .because."):
            netlink.request([ASK])


def test_a_silent_kernel_is_an_error_not_a_hang(pair: Sockets) -> None:
    netlink, _ = pair
    with pytest.raises(KernelError, match="Protocol error .no answer from the kernel"):
        netlink.request([ASK])


def test_sequence_numbers_wrap(pair: Sockets) -> None:
    netlink, kernel = pair
    netlink._sequence = 0x7FFFFFFF
    kernel.send(acknowledgement(2))
    assert netlink.request([ASK, ASK]) == []


def test_a_table_that_changes_while_it_is_read_is_read_again(pair: Sockets) -> None:
    netlink, kernel = pair
    kernel.send(message(16, 1, b"torn", nl.NLM_F_DUMP_INTR))
    kernel.send(message(DONE, 1, bytes(4)))
    kernel.send(message(DONE, 2, struct.pack("=i", -errno.EINTR)))
    kernel.send(message(16, 99, b"old!") + message(16, 3, b"one!") + message(16, 3, b"two!"))
    kernel.send(message(DONE, 3, bytes(4)))
    assert netlink.dump(ASK) == [b"one!", b"two!"]


def test_a_table_that_never_stands_still_is_given_up(pair: Sockets) -> None:
    netlink, kernel = pair
    for sequence in range(1, 17):
        kernel.send(message(DONE, sequence, bytes(4), nl.NLM_F_DUMP_INTR))
    with pytest.raises(KernelError, match="the table changed during each reading"):
        netlink.dump(ASK)


def test_a_batch_refused_as_a_whole_ends_the_exchange(pair: Sockets) -> None:
    """nfnetlink complains about the first message; the answer to the last one comes too late."""
    netlink, kernel = pair
    kernel.send(acknowledgement(1, errno.EPERM))
    _, failures = netlink.exchange([ASK] * 3, 1)
    assert {index: failure.errno for index, failure in failures.items()} == {0: errno.EPERM}


def test_a_closed_socket_tells_what_was_asked() -> None:
    netlink = nl.NetlinkSocket(nl.NETLINK_ROUTE)
    netlink.close()
    netlink.close()
    with pytest.raises(KernelError, match=r"send.RTM_GETLINK .*Bad file descriptor"):
        netlink.request([ASK])


def test_a_batch_larger_than_the_send_buffer_enlarges_it() -> None:
    with nl.NetlinkSocket(nl.NETLINK_ROUTE) as netlink:
        netlink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        wrong = nl.Request(0x4000, 0, bytes(4000), "nonsense")
        try:
            outcomes = netlink.try_requests([wrong] * 4)
        except PermissionError:
            pytest.skip("needs CAP_NET_ADMIN")
    assert [outcome.errno for outcome in outcomes if outcome] == [errno.EOPNOTSUPP] * 4
