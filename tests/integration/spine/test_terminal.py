"""`-it`, attach and detach as at a keyboard, with both clients."""

from support.cli import Cli
from support.terminal import Terminal
from support.waiting import eventually

IMAGE = "busybox"
PROMPT = b"/ # "
DETACH = b"\x10\x11"  # ctrl-p ctrl-q


def test_run_it_is_a_session(cli: Cli) -> None:
    with cli.terminal("run", "-it", "--rm", IMAGE, "sh", rows=33, columns=101) as shell:
        shell.expect(PROMPT)
        shell.send(b"tty; stty size\r")
        shell.expect(rb"/dev/pts/0\r\n33 101\r\n")
        shell.expect(PROMPT)
        shell.send(b"echo mu\tted; exit 6\r")
        assert shell.wait() == 6


def _resize_is_seen(shell: Terminal) -> bool:
    shell.resize(43, 120)
    shell.resize(44, 120)
    try:
        shell.expect(rb"\n44 120\r\n", timeout_s=0.5)
    except AssertionError:
        return False
    return True


def test_resize_reaches_the_container(cli: Cli) -> None:
    with cli.terminal("run", "-it", "--rm", IMAGE, "sh") as shell:
        shell.expect(PROMPT)
        shell.send(b"while ! stty size | grep '44 120'; do sleep 0.05; done\r")
        # docker's client listens for SIGWINCH only some time after the container has started.
        eventually(lambda: _resize_is_seen(shell))
        shell.send(b"exit\r")
        assert shell.wait() == 0


def test_ctrl_c_is_the_container_s(cli: Cli) -> None:
    with cli.terminal("run", "-it", "--rm", IMAGE, "sh") as shell:
        shell.expect(PROMPT)
        shell.send(b"sh -c 'echo in-front; exec sleep 600'\r")
        shell.expect(rb"\nin-front\r\n")
        shell.send(b"\x03")
        shell.expect(PROMPT)
        shell.send(b"echo alive=$((40+2))\r")
        shell.expect(rb"alive=42")
        shell.expect(PROMPT)
        shell.send(b"\x04")
        shell.wait()


def test_detach_leaves_it_running_and_attach_comes_back(cli: Cli) -> None:
    with cli.terminal("run", "-it", "--name", "box", IMAGE, "sh") as shell:
        shell.expect(PROMPT)
        shell.send(DETACH)
        assert shell.wait() == 0
    assert cli("ps", "--format", "{{.Names}}") == "box\n"
    with cli.terminal("attach", "box") as shell:
        shell.send(b"\r")
        shell.expect(PROMPT)
        shell.send(DETACH)
        assert shell.wait() == 1
        assert shell.seen.endswith(b"read escape sequence\r\n")
    with cli.terminal("attach", "box") as shell:
        shell.send(b"echo back=$((1+1))\r")
        shell.expect(rb"back=2")
        shell.send(b"exit 8\r")
        assert shell.wait() == 8


def test_other_detach_keys(cli: Cli) -> None:
    with cli.terminal("run", "-it", "--name", "box", "--detach-keys", "ctrl-x,d", IMAGE) as shell:
        shell.expect(PROMPT)
        shell.send(b"\x18d")
        assert shell.wait() == 0
    assert cli("ps", "--format", "{{.Names}}") == "box\n"


def test_exec_it(cli: Cli) -> None:
    cli("run", "-d", "--name", "box", IMAGE, "sleep", "600")
    with cli.terminal("exec", "-it", "box", "sh", rows=20, columns=70) as shell:
        shell.expect(PROMPT)
        shell.send(b"stty size; exit 3\r")
        shell.expect(rb"20 70")
        assert shell.wait() == 3
    with cli.terminal("exec", "-it", "box", "sh") as shell:
        shell.expect(PROMPT)
        shell.send(DETACH)
        assert shell.wait() == 1
        assert shell.seen.endswith(b"read escape sequence\r\n")
    eventually(lambda: "sh" in cli("top", "box"))


def test_two_clients_see_the_same_terminal(cli: Cli) -> None:
    cli("run", "-dit", "--name", "box", IMAGE, "sh")
    with cli.terminal("attach", "box") as one, cli.terminal("attach", "box") as two:
        for terminal in (one, two):  # what is said before one is attached is not said again
            terminal.send(b"echo here=$((10+0))\r")
            terminal.expect(rb"here=10")
        one.send(b"echo from=$((10+1))\r")
        one.expect(rb"from=11")
        two.expect(rb"from=11")
        two.send(b"echo and=$((10+2))\r")
        two.expect(rb"and=12")
        one.expect(rb"and=12")


def test_sigint_without_a_terminal_is_passed_on(cli: Cli) -> None:
    script = "trap 'echo int; exit 7' INT; echo up; while :; do sleep 0.1; done"
    with cli.terminal("run", "--rm", IMAGE, "sh", "-c", script) as shell:
        shell.expect(b"up")
        shell.send(b"\x03")
        shell.expect(b"int")
        assert shell.wait() == 7


def test_the_third_ctrl_c_leaves_a_container_that_heeds_none(cli: Cli) -> None:
    with cli.terminal("run", "--rm", "--name", "box", IMAGE, "sleep", "600") as client:
        eventually(lambda: "sleep" in cli("ps", "--format", "{{.Command}}"))

        def gives_up() -> bool:
            client.send(b"\x03")
            return client.process.poll() is not None

        eventually(gives_up)
        assert client.wait() == 1
        assert b"\ngot 3 SIGTERM/SIGINTs, forcefully exiting\r\n" in client.seen
    assert cli("ps", "--format", "{{.Names}}") == "box\n"


def test_t_without_a_terminal_is_refused(cli: Cli) -> None:
    message = cli.fails("run", "-it", "--rm", IMAGE, "sh", stdin="")
    assert "the input device is not a TTY" in message
    assert cli("ps", "-aq") == ""
