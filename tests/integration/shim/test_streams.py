"""Attached clients, terminals, input, exec: bytes in and bytes out."""

import base64
import os
import signal
import socket
import time

import pytest

from cutaway.shim import protocol
from support.shims import receive_all, texts

MIB = 1 << 20


def rss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1])


def receive_until(client: socket.socket, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        chunk = client.recv(65536)
        assert chunk, f"the stream ended before {wanted!r}: {data!r}"
        data += chunk
    return data


def test_closing_the_clients_input_closes_stdin_once(box):
    box.launch("cat", stdin_open=True, stdin_once=True)
    client = box.attach(stdin=True, early_input=base64.b64encode(b"early ").decode())
    box.start()
    client.sendall(b"late\n")
    client.shutdown(socket.SHUT_WR)
    assert texts(receive_all(client)) == {1: b"early late\n"}
    assert box.event("exited").facts["exit_code"] == 0
    box.finish()


def test_much_input_passes_through_with_back_pressure(box):
    box.launch("sh", "-c", "sleep 0.2; wc -c", stdin_open=True, stdin_once=True)
    client = box.attach(stdin=True)
    box.start()
    client.setblocking(True)
    for _ in range(40):
        client.sendall(bytes(100_000))
        box.read(0)
    client.shutdown(socket.SHUT_WR)
    assert texts(receive_all(client)) == {1: b"4000000\n"}
    box.finish()


def test_without_stdin_a_client_that_half_closes_gets_all_output(box):
    box.launch("sh", "-c", "sleep 0.2; echo still here")
    client = box.attach()
    client.shutdown(socket.SHUT_WR)
    box.start()
    assert texts(receive_all(client)) == {1: b"still here\n"}
    box.finish()


def test_several_clients_see_the_same_and_only_their_streams(box):
    box.launch("sh", "-c", "echo out; echo err >&2")
    both, out, err = box.attach(), box.attach(stderr=False), box.attach(stdout=False)
    box.start()
    assert texts(receive_all(both)) == {1: b"out\n", 2: b"err\n"}
    assert texts(receive_all(out)) == {1: b"out\n"}
    assert texts(receive_all(err)) == {2: b"err\n"}
    box.finish()


def test_unread_input_does_not_turn_the_end_into_a_reset(box):
    box.launch("sh", "-c", "read line; echo got $line", stdin_open=True, stdin_once=True)
    client = box.attach(stdin=True)
    box.start()
    client.sendall(b"one\n" + b"rest\n" * 1000)
    assert texts(receive_all(client)) == {1: b"got one\n"}
    box.finish()


def test_a_terminal_echoes_has_a_size_and_is_raw(box):
    box.launch(
        "sh", "-c", "stty size; read x; echo got:$x; stty size",
        terminal=True, stdin_open=True, console_width=91, console_height=31,
    )  # fmt: skip
    client = box.attach(stdin=True)
    box.start()
    assert b"31 91\r\n" in receive_until(client, b"31 91")
    assert box.ask(protocol.Resize(120, 40)).error is None
    client.sendall(b"word\n")
    rest = receive_all(client)
    assert b"got:word\r\n40 120\r\n" in rest
    box.finish()
    assert "got:word\r\n" in "".join(entry["log"] for entry in box.log_entries())


def test_detach_keys_leave_the_container_running(box):
    box.launch("sh", terminal=True, stdin_open=True)
    client = box.attach(stdin=True)
    box.start()
    client.sendall(b"echo before\n\x10")
    receive_until(client, b"before\r\n")
    client.sendall(b"\x11echo after\n")
    receive_all(client)
    assert box.event("detached").facts["reason"] == "keys"
    again = box.attach(stdin=True, detach_keys="ctrl-x,x")
    again.sendall(b"exit 3\n")
    receive_all(again)
    assert box.event("exited").facts["exit_code"] == 3
    box.finish()


def test_attach_with_logs_is_exact_at_the_seam(box):
    box.launch(
        "sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; printf end"
    )
    first = box.attach()
    box.start()
    time.sleep(0.02)
    second = box.attach(logs=True)
    everything = texts(receive_all(first))
    assert texts(receive_all(second)) == everything
    box.finish()


def test_attach_with_logs_alone_ends_after_the_log(box):
    box.launch("sh", "-c", "echo one; printf two; sleep 100")
    live = box.attach()
    box.start()
    receive_until(live, b"two")
    assert texts(receive_all(box.attach(logs=True, stream=False))) == {1: b"one\ntwo"}
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_exec_has_its_own_streams_and_exit_code(box):
    box.launch("sleep", "100")
    box.start()
    reply, client = box.exec("sh", "-c", "cat; echo err >&2; exit 5", exec_id="e1", stdin=True)
    assert reply.error is None, reply.error
    client.sendall(b"text")
    client.shutdown(socket.SHUT_WR)
    assert texts(receive_all(client)) == {1: b"text", 2: b"err\n"}
    # The event came before the stream's end.
    box.read(0)
    assert box.event("exec_exited", timeout_s=0.1).facts["exit_code"] == 5
    inspected = box.ask(protocol.ExecInspect("e1")).result
    assert (inspected["running"], inspected["exit_code"]) == (False, 5)
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_exec_of_a_missing_program_says_so(box):
    box.launch("sleep", "100")
    box.start()
    reply, client = box.exec("nonesuch")
    assert reply.error["exit_code"] == 127
    assert "executable file not found in $PATH" in reply.error["message"]
    client.close()
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_many_execs_at_once_with_terminals_and_without(box):
    box.launch("sleep", "100")
    box.start()
    clients = []
    for number in range(6):
        reply, client = box.exec(
            "sh", "-c", f"echo {number}; exit {number}", terminal=number % 2 == 1
        )
        assert reply.error is None, reply.error
        clients.append(client)
    for number, client in enumerate(clients):
        data = receive_all(client)
        assert data == b"%d\r\n" % number if number % 2 else texts(data) == {1: b"%d\n" % number}
    codes = [box.event("exec_exited", count).facts["exit_code"] for count in range(1, 7)]
    assert sorted(codes) == [0, 1, 2, 3, 4, 5]
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()


def test_a_detached_exec_runs_and_is_killed_with_the_container(box):
    box.launch("sleep", "100")
    box.start()
    reply = box.ask(protocol.Exec("d1", process_document("sleep", "1000")))
    pid = reply.result["pid"]
    assert box.ask(protocol.ExecInspect("d1")).result["running"] is True
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def process_document(*args):
    from support.shims import process

    return process(*args)


def test_a_stopped_client_stops_neither_the_container_nor_its_log(box):
    """200 MB while one client takes nothing: the log is whole, memory stays small."""
    line = b"x" * 99 + b"\n"
    box.launch(
        "sh", "-c", f"yes {'x' * 99} | head -c 200000000",
        log=protocol.LogSettings(driver="local", path=box.log.path),
    )  # fmt: skip
    stuck, lively = box.attach(), box.attach()
    box.start()
    before = rss_kib(box.shim_pid)
    lively.setblocking(True)
    received = 0
    deadline = time.monotonic() + 60
    while chunk := lively.recv(MIB):
        received += len(chunk)
        assert time.monotonic() < deadline
    assert received >= 200_000_000
    assert rss_kib(box.shim_pid) - before < 16 * 1024
    assert box.event("exited").facts["exit_code"] == 0
    assert os.path.getsize(box.log.path) >= 200_000_000
    # The client that was stopped goes on where it was, and misses nothing.
    assert len(texts(receive_all(stuck))[1]) == 200_000_000
    assert len(line) == 100
    box.finish()


def test_the_shim_outlives_a_client_that_reads_slowly(box):
    box.launch("sh", "-c", "yes | head -c 3000000")
    client = box.attach()
    box.start()
    assert box.event("exited").facts["exit_code"] == 0
    box.event("cleaned")
    box.shim.acknowledge(max(event.seq for event in box.events))
    time.sleep(0.1)
    assert len(texts(receive_all(client))[1]) == 3_000_000
    box.wait_shim_gone()


def test_a_container_killed_by_its_client_leaves_on_signal(box):
    box.launch("sh", "-c", "trap 'echo bye; exit 9' INT; echo up; while :; do sleep 0.05; done")
    client = box.attach()
    box.start()
    receive_until(client, b"up\n")
    box.ask(protocol.Kill(signal.SIGINT))
    assert b"bye" in receive_all(client)
    assert box.event("exited").facts["exit_code"] == 9
    box.finish()
