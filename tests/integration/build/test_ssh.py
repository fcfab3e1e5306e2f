"""``RUN --mount=type=ssh`` with a real agent: its key signs in the build, and stays where it is."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.waiting import eventually


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real ssh-agent with one key, which is beside it as ``key.pub``; yields its socket."""
    directory = tmp_path_factory.mktemp("agent")
    socket, key = directory / "socket", directory / "key"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(socket.exists, timeout_s=20)
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "builder", "-f", str(key)]
        subprocess.run(make, check=True)
        environment = {"SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment)
        yield str(socket)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def tools(module_engine) -> str:
    """An image with this machine's own ssh programs."""
    programs = ("ssh-add", "ssh-keygen", "sh", "id", "cat")
    module_engine.cutaway("image", "from-host", "tools", *programs)
    return "tools"


def test_the_key_of_the_users_agent_signs_in_the_build(engine, cutaway, context, agent, tools):
    directory = context(
        f"FROM {tools}\nCOPY key.pub /\n"
        "RUN --mount=type=ssh ssh-add -L > /keys && echo text > /text && "
        "ssh-keygen -q -Y sign -f /key.pub -n build /text\n"
        "RUN test -z \"$SSH_AUTH_SOCK\"\n",
        **{"key.pub": Path(agent).with_name("key.pub").read_text()},
    )  # fmt: skip
    done = engine.host.run(
        *engine.our_command, "build", "--ssh", "default", "-t", "signed", directory,
        env={**engine.environment(), "SSH_AUTH_SOCK": agent}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = engine.docker("run", "--rm", "signed", "cat", "/keys", "/text.sig").stdout
    assert told.startswith("ssh-ed25519 ")
    assert "builder\n-----BEGIN SSH SIGNATURE-----" in told
    private = Path(agent).with_name("key").read_text().splitlines()[2]
    layers = engine.host.run("grep", "-rl", private, str(engine.data_root), check=False)
    assert layers.stdout == ""


def test_another_user_has_it_by_the_mounts_owner_and_mode(cutaway, context, agent, tools):
    dockerfile = f"FROM {tools}\nUSER 33\nRUN --mount=type=ssh,id=deploy%s ssh-add -l\n"
    told = cutaway("build", "--progress", "plain", "--ssh", f"deploy={agent}",
                   context(dockerfile % ",uid=33,mode=0600"))  # fmt: skip
    assert "builder (ED25519)" in told
    refused = cutaway.run("build", "--progress", "plain", "--ssh", f"deploy={agent}",
                          context(dockerfile % ""), code=1)  # fmt: skip
    assert "Permission denied" in refused.stdout


def test_an_agent_that_was_not_lent_is_not_there(cutaway, context, agent, tools):
    directory = context(f"FROM {tools}\nRUN --mount=type=ssh ! ssh-add -l\n")
    cutaway("build", directory)
    directory = context(f"FROM {tools}\nRUN --mount=type=ssh,required=true ssh-add -l\n")
    text = cutaway.fails("build", directory)
    assert "no SSH agent default was lent: build with --ssh default" in text
    text = cutaway.fails("build", "--ssh", "default=/nowhere/agent", directory)
    assert "--ssh default: there is no agent: start one" in text
