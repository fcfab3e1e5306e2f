"""One container from launch to the shim's leaving."""

import json
import signal
from pathlib import Path

from cutaway.shim import protocol
from support.shims import receive_all, texts


def test_output_goes_to_log_and_client_and_the_exit_code_is_kept(box):
    box.launch("sh", "-c", "echo out; echo err >&2; exit 7")
    client = box.attach()
    assert box.made().error is None
    assert box.netns
    box.start()
    assert texts(receive_all(client)) == {1: b"out\n", 2: b"err\n"}
    facts = box.event("exited").facts
    assert facts["exit_code"] == 7
    assert (facts["signal"], facts["oom_killed"], facts["restarting"]) == (0, False, False)
    box.finish()
    assert box.event("cleaned").facts["failures"] == []
    assert {(e["stream"], e["log"]) for e in box.log_entries()} == {
        ("stdout", "out\n"),
        ("stderr", "err\n"),
    }
    for place in (box.run, box.home):
        assert json.loads((place / "exit.json").read_text())["exit_code"] == 7
    assert not list(Path("/sys/fs/cgroup").glob(f"*/cutaway-shim-test/{box.id}"))
    assert not (box.run / "shim.sock").exists()
    names = [event.name for event in box.events]
    assert names == ["started", "exited", "cleaned"]
    assert json.loads((box.home / "ledger.json").read_text())["records"]


def test_a_missing_program_is_one_sentence_and_leaves_nothing(box):
    box.launch("no-such-program")
    reply = box.ask(protocol.Start())
    assert reply.error["exit_code"] == 127
    assert "no-such-program" in reply.error["message"]
    assert "executable file not found in $PATH" in reply.error["message"]
    assert box.event("failed").facts["exit_code"] == 127
    box.finish()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/cutaway-shim-test/{box.id}"))


def test_signals_and_their_senders_are_recorded(box):
    box.launch("sleep", "100")
    box.start()
    box.ask(protocol.Kill(signal.SIGKILL, origin="user", by_user=True))
    facts = box.event("exited").facts
    assert (facts["exit_code"], facts["signal"]) == (137, 9)
    assert [(s["signal"], s["origin"]) for s in facts["signals"]] == [(9, "user")]
    box.finish()


def test_stop_escalates_to_sigkill_after_its_timeout(box):
    box.launch("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    client = box.attach()
    box.start()
    assert client.recv(100)
    box.ask(protocol.Stop(timeout_s=0.3))
    facts = box.event("exited").facts
    assert facts["exit_code"] == 137
    assert [s["signal"] for s in facts["signals"]] == [15, 9]
    box.finish()


def test_pause_and_resume(box):
    box.launch("sh", "-c", "while :; do echo tick; sleep 0.01; done")
    box.start()
    assert box.ask(protocol.Pause()).error is None
    assert box.ask(protocol.Hello()).result["status"] == "paused"
    assert box.ask(protocol.Pause()).error["category"] == "Conflict"
    assert box.ask(protocol.Resume()).error is None
    assert box.ask(protocol.Hello()).result["status"] == "running"
    box.ask(protocol.Pause())
    box.ask(protocol.Stop(timeout_s=0))
    assert box.event("exited").facts["exit_code"] == 137
    box.finish()


def test_update_and_statistics(box):
    box.launch("sleep", "100")
    box.start()
    assert box.ask(protocol.Update(resources={"pids": {"limit": 55}})).error is None
    stats = box.ask(protocol.Stats()).result
    assert stats["pids"]["limit"] == 55
    assert len(box.ask(protocol.Processes()).result["pids"]) == 1
    box.ask(protocol.Delete())
    assert box.event("exited").facts["exit_code"] == 137
    box.finish()


def test_the_ledger_can_be_asked_for_right_after_the_start(box):
    box.launch("sleep", "100")
    own = {"kind": "Own", "actor": "engine", "started_ns": 5}
    assert box.ask(protocol.Start(ledger=(own,))).error is None
    told = box.ask(protocol.Ledger()).result["records"]
    assert told[0] == own
    assert told == json.loads((box.home / "ledger.json").read_text())["records"]
    box.ask(protocol.Stop(timeout_s=0))
    box.event("exited")
    box.finish()


def test_a_container_that_was_never_started_is_deleted(box):
    box.launch("true")
    box.made()
    box.ask(protocol.Delete())
    box.event("failed")
    box.finish()


def test_a_container_whose_bundle_is_never_written_leaves_nothing(box):
    box.launch("true", make=False)
    box.ask(protocol.Delete())
    box.event("failed")
    refused = box.ask(protocol.Make())
    assert "deleted before it was started" in refused.error["message"]
    box.finish()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/cutaway-shim-test/{box.id}"))


def test_a_container_is_made_once(box):
    box.launch("sleep", "100")
    box.start()
    assert box.ask(protocol.Make()).error["message"].endswith("is running")
    box.ask(protocol.Stop(timeout_s=0))
    box.finish()
