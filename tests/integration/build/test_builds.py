"""Real builds: the language on a real engine, the cache, secrets, attacks, and what errors say."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cutaway.client import ApiError
from support import tars
from support.engine import EngineUnderTest
from support.waiting import eventually


def files_of(engine: EngineUnderTest, image: str, command: str) -> str:
    return engine.docker("run", "--rm", "--network", "none", image, "sh", "-c", command).stdout


def classic(engine: EngineUnderTest, *words: str, check: bool = True, **options: object):
    """Build with the stock client's classic builder."""
    return engine.host.run(
        "docker", "build", *words, check=check,
        env={**engine.environment(), "DOCKER_BUILDKIT": "0"}, **options,
    )  # fmt: skip


LANGUAGE = """\
# syntax=docker/dockerfile:1
# escape=`
ARG BASE=busybox
FROM ${BASE}:latest AS one
ARG WHO=world
ENV GREET="hello $WHO" `
    OTHER=x
LABEL a=b "c d"="e f"
WORKDIR /work/dir
COPY --chown=www-data:audio --chmod=u+x,go-w a.txt ./
RUN echo $GREET $WHO > out
RUN <<EOF
echo first > first
echo second > second
EOF
COPY <<one <<-two /docs/
content $WHO
one
\ttabs
two
FROM busybox AS unused
RUN exit 1
FROM busybox
COPY --from=one /work /w
COPY --from=0 --parents /docs/one /docs/./two /p/
COPY --link --exclude=second --from=one /work/dir /l
SHELL ["/bin/busybox", "sh", "-c"]
HEALTHCHECK --interval=5s --retries=2 CMD true
STOPSIGNAL SIGINT
EXPOSE 80 90-91/udp
VOLUME /data
USER 33:33
ENTRYPOINT ["sh"]
CMD ["-c", "id -u"]
"""


def test_the_language_on_the_classic_builder_and_ours(engine, cutaway, context):
    directory = context(LANGUAGE, **{"a.txt": "a\n"})
    told = classic(engine, "-t", "language", directory).stdout
    assert "Successfully tagged language:latest" in told
    assert "unused" not in told
    config = json.loads(engine.docker("inspect", "language").stdout)[0]["Config"]
    assert config["Healthcheck"]["Test"] == ["CMD-SHELL", "true"]
    assert config["StopSignal"] == "SIGINT"
    assert sorted(config["ExposedPorts"]) == ["80/tcp", "90/udp", "91/udp"]
    assert config["Volumes"] == {"/data": {}}
    assert config["Shell"] == ["/bin/busybox", "sh", "-c"]
    found = engine.docker(
        "run", "--rm", "--entrypoint", "sh", "language", "-c",
        "cat /w/dir/out /p/docs/one /p/two /w/dir/second; ls /l; stat -c '%u:%g %a' /w/dir/a.txt",
    ).stdout.splitlines()  # fmt: skip
    assert found[:4] == ["hello world world", "content world", "tabs", "second"]
    assert "second" not in found[4:]
    assert found[-1] == "0:0 744"
    before = engine.docker("images", "-q", "--no-trunc", "language").stdout
    assert "CACHED" in cutaway("build", "--progress", "plain", "-t", "language", directory)
    assert engine.docker("images", "-q", "--no-trunc", "language").stdout == before


def test_arguments_of_the_command_line_and_triggers(engine, context):
    directory = context("FROM busybox\nONBUILD ARG X=1\nONBUILD RUN echo $X > /x\n")
    classic(engine, "-t", "parent", directory)
    child = context("FROM parent\nARG Y\nRUN echo $Y $X > /y\n")
    told = classic(engine, "--build-arg", "X=5", "--build-arg", "Y=7", "-t", "child", child).stdout
    assert "# Executing 2 build triggers" in told
    assert files_of(engine, "child", "cat /x /y") == "5\n7 5\n"


@pytest.mark.parametrize("program", ["cutaway", "docker"])
def test_a_dockerfile_from_elsewhere_is_no_part_of_the_context(engine, context, tmp_path, program):
    """By ``-f -`` and ``-f ../x``: the context's own is not used, COPY doesn't see the other."""
    directory = context("FROM nowhere\n", a=program)
    text = "FROM busybox\nCOPY . /c/\n"
    outside = tmp_path.with_suffix(".Dockerfile")
    outside.write_text(text)
    words = ("-t", "elsewhere", directory)
    if program == "docker":
        told = classic(engine, "-f", "-", *words, input=text).stdout
        again = classic(engine, "-f", str(outside), *words).stdout
    else:
        told = engine.cutaway("build", "-f", "-", *words, input=text).stdout
        again = engine.cutaway("build", "-f", str(outside), *words).stdout
    assert files_of(engine, "elsewhere", "ls -A /c") == "Dockerfile\na\n"
    cached = "Using cache" if program == "docker" else "CACHED"
    assert cached not in told
    assert cached in again


@pytest.mark.parametrize("form", ["Dockerfile", "tar", "tar.gz"])
def test_standard_input_is_a_dockerfile_or_a_context(engine, context, form):
    directory = context("FROM busybox\nRUN echo default >/made\n", D="FROM busybox\nCOPY D /made\n")
    if form == "Dockerfile":
        told = engine.cutaway("build", "-q", "-", input="FROM busybox\nRUN echo alone >/made\n")
        wanted = "alone\n"
    else:
        archive = f"{directory}.{form}"
        subprocess.run(["tar", "-C", directory, "-caf", archive, "."], check=True)
        with open(archive, "rb") as file:
            told = engine.cutaway("build", "-q", "-f", "D", "-", stdin=file)
        wanted = "FROM busybox\nCOPY D /made\n"
    assert files_of(engine, told.stdout.strip(), "cat /made") == wanted


def test_standard_input_can_not_be_both(engine):
    done = engine.cutaway("build", "-f", "-", "-", check=False, input="")
    assert "can't use stdin for both build context and dockerfile" in done.stderr


@contextmanager
def served(engine, directory) -> Iterator[str]:
    """Serve a directory's files where the engine runs; yields the server's address."""
    server = engine.host.popen(["python3", "-m", "http.server", "-d", str(directory), "8123"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        address = "http://127.0.0.1:8123"
        eventually(
            lambda: engine.host.run("curl", "-fs", address, check=False).returncode == 0,
            timeout_s=20,
        )
        yield address
    finally:
        server.kill()
        server.wait()


def test_archives_urls_and_checksums(engine, context, tmp_path: Path):
    directory = context("FROM busybox\nADD in.tar.gz /a/\nADD plain.txt /b\n", **{"plain.txt": "p"})
    (tmp_path / "inside").write_text("unpacked\n")
    subprocess.run(["tar", "czf", "in.tar.gz", "inside"], cwd=tmp_path, check=True)
    classic(engine, "-t", "added", directory)
    assert files_of(engine, "added", "cat /a/inside /b") == "unpacked\np"
    with served(engine, directory) as server:
        address = f"{server}/plain.txt"
        context(f"FROM busybox\nADD {address} /fetched\nADD {server}/ {address} /named/\n")
        classic(engine, "-t", "fetched", directory)
        told = files_of(engine, "fetched", "cat /fetched; stat -c ' %a' /fetched; ls /named")
        assert told == "p 600\n__unnamed__\nplain.txt\n"
        context(f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {address} /fetched\n")
        refused = classic(engine, directory, check=False)
        assert "digest mismatch" in refused.stderr


def test_a_git_repository_is_a_context_and_a_source(engine, context, tmp_path: Path):
    repository = tmp_path / "repository.git"
    script = (
        "git init -q -b main work && cd work && printf 'FROM busybox\\nCOPY f /f\\n' > Dockerfile "
        "&& echo one > f && git add . && git -c user.name=t -c user.email=t@t commit -qm one && "
        f"git clone -q --bare . {repository} && cd {repository} && git update-server-info"
    )
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    answer = engine.client.request(
        "POST", "/build", query={"remote": f"file://{repository}", "t": "from-git"}
    )
    assert any("Successfully built" in d.get("stream", "") for d in answer.documents())
    assert files_of(engine, "from-git", "cat /f") == "one\n"
    with served(engine, tmp_path) as server:  # one that knows nothing of git
        directory = context(f"FROM busybox\nADD {server}/{repository.name}#main /g/\n")
        classic(engine, "-t", "with-git", directory)
    assert files_of(engine, "with-git", "cat /g/f") == "one\n"


def test_secrets_reach_the_command_and_nothing_else(engine, cutaway, context, tmp_path: Path):
    directory = context(
        "FROM busybox\n"
        "RUN --mount=type=secret,id=token,required=true,mode=0444 wc -c < /run/secrets/token\n"
        "RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 9\n"
    )
    (tmp_path.parent / "token").write_text("hush-hush")
    told = cutaway("build", "--progress", "plain", "-t", "secretive",
                   "--secret", f"id=token,src={tmp_path.parent}/token", directory)  # fmt: skip
    assert "9" in told
    history = engine.docker("history", "--no-trunc", "secretive").stdout
    inspected = engine.docker("inspect", "secretive").stdout
    assert "hush-hush" not in history + inspected + told
    assert "hush-hush" not in engine.log.read_text()
    found = subprocess.run(
        ["grep", "-rl", "hush-hush", str(engine.data_root), str(engine.exec_root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""
    refused = cutaway.fails("build", "--no-cache", directory)
    assert "secret token: not found: build with --secret id=token,…" in refused


def test_a_kept_directory_lives_from_build_to_build_whatever_its_id(engine, cutaway, context):
    directory = context(
        "FROM busybox\nRUN --mount=type=cache,id=../../escape,target=/c echo x >> /c/log; "
        "wc -l < /c/log > /count\n"
    )
    for count in ("1", "2"):
        cutaway("build", "--no-cache", "-t", "counted", directory)
        assert files_of(engine, "counted", "cat /count; test ! -e /c") == f"{count}\n"
    found = engine.host.run("find", str(engine.directory), "-name", "escape", check=False)
    assert found.stdout == ""
    assert "exec.cachemount" in cutaway("system", "df", "-v")
    assert engine.client.post("/build/prune", all=True)["CachesDeleted"]
    assert "exec.cachemount" not in cutaway("system", "df", "-v")


def test_a_link_in_a_kept_directory_leads_nowhere_on_the_host(engine, cutaway, context, tmp_path):
    target = tmp_path.parent / "outside"
    target.mkdir(exist_ok=True)
    cutaway("build", context(
        f"FROM busybox\nRUN --mount=type=cache,id=evil,target=/c ln -s {target} /c/out\n"
    ))  # fmt: skip
    cutaway.run("build", context(
        "FROM busybox\n"
        "RUN --mount=type=cache,id=evil,source=out/made,target=/c touch /c/escaped\n"
    ), code=1)  # fmt: skip
    assert list(target.iterdir()) == []


def test_bound_files_are_seen_and_what_is_written_to_them_is_forgotten(engine, cutaway, context):
    directory = context(
        "FROM busybox\n"
        "RUN --mount=target=/src,rw cat /src/f > /out; echo changed > /src/f\n"
        "RUN --mount=target=/src --mount=type=tmpfs,target=/t cat /src/f >> /out; touch /t/x\n"
        "COPY f /f\n",
        f="original\n",
    )
    cutaway("build", "-t", "bound", directory)
    assert files_of(engine, "bound", "cat /out /f; test ! -e /t") == "original\n" * 3


@pytest.mark.parametrize(
    ("flag", "entitlement"),
    [("--security=insecure", "security.insecure"), ("--network=host", "network.host")],
)
def test_a_dockerfile_gets_no_rights_that_its_build_did_not_allow(
    engine, cutaway, context, flag, entitlement
):
    directory = context(f"FROM busybox\nRUN {flag} true\n")
    assert f"{entitlement} is not allowed: build with --allow {entitlement}" in cutaway.fails(
        "build", directory
    )
    cutaway("build", "--allow", entitlement, directory)


@pytest.mark.parametrize(
    ("flag", "refusal"),
    [
        ("--isolation=hyperv", "invalid isolation (hyperv): linux only supports 'default'"),
        ("--memory=1k", "Minimum memory limit allowed is 6MB"),
        ("--cpuset-cpus=8000", "Requested CPUs are not available"),
    ],
)
def test_what_no_container_could_be_given_is_refused_at_once(cutaway, context, flag, refusal):
    assert refusal in cutaway.fails("build", flag, context("FROM busybox\n"))


def test_a_dockerfile_by_url_is_never_cut(engine, tmp_path: Path):
    (tmp_path / "large").write_text("FROM busybox\n" + "#\n" * (1 << 19))
    with (
        served(engine, tmp_path) as address,
        pytest.raises(ApiError, match=f"{address}/large is larger than 1 MiB"),
    ):
        engine.client.request("POST", "/build", query={"remote": f"{address}/large"})


@pytest.mark.parametrize(
    ("dockerfile", "told"),
    [
        (None, "Cannot locate specified Dockerfile: Dockerfile"),
        ("", "file with no instructions"),
        ("FROM busybox\nFOO\n", "dockerfile parse error on line 2: unknown instruction: FOO"),
        ("RUN true\n", "no build stage in current context"),
        ("FROM busybox\nCOPY x\n", "COPY requires at least two arguments"),
    ],
)
def test_what_fails_before_the_first_message_is_an_error_status(engine, dockerfile, told):
    entries = [] if dockerfile is None else [tars.file("Dockerfile", dockerfile.encode())]
    with pytest.raises(ApiError, match=told) as refused:
        engine.client.request("POST", "/build", body=iter([tars.build(entries)]))
    assert refused.value.status == 400


def test_a_quiet_build_that_fails_tells_what_it_had_kept_to_itself(engine, context):
    directory = context("FROM busybox\nRUN echo clue; exit 3\n")
    done = classic(engine, "-q", directory, check=False)
    assert done.returncode == 3
    assert "Step 2/2 : RUN echo clue; exit 3" in done.stderr
    assert "\nclue\n" in done.stderr


def test_independent_stages_run_at_the_same_time(engine, cutaway, context):
    # Each waits for the other's file in a shared directory: one after the other would never end.
    wait = "i=0; until test -e /c/%s; do i=$((i+1)); test $i -lt 200 || exit 1; sleep 0.1; done"
    mount = "--mount=type=cache,id=meet,target=/c"
    directory = context(
        f"FROM busybox AS a\nRUN {mount} touch /c/a; {wait % 'b'}\n"
        f"FROM busybox AS b\nRUN {mount} touch /c/b; {wait % 'a'}\n"
        "FROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n"
    )
    cutaway("build", "--no-cache", directory)


def test_explain_says_why_and_what_adds_no_layer(engine, cutaway, context):
    cutaway("build", context("FROM busybox\nENV A=1\nCOPY f /f\nRUN true\nRUN :\n", f="one"))
    told = cutaway("build", "--explain", context(
        "FROM busybox\nENV A=1\nCOPY f /f\nRUN true\nRUN :\n", f="two"
    ))  # fmt: skip
    assert "adds no layer: it sets configuration only" in told
    assert "why: the files that it takes have changed since it was last done" in told
    assert "why: a step before it has another result than when it was last done" in told
    assert "adds no layer: it changed no file" in told


def test_an_images_history_makes_no_step_hit(engine, context, tmp_path: Path):
    directory = context("FROM busybox\nRUN echo real > /f\n")
    classic(engine, "-t", "honest", directory)
    engine.docker("save", "-o", f"{tmp_path}/honest.tar", "honest")
    engine.docker("rmi", "honest")
    engine.client.post("/build/prune", all=True)
    engine.docker("load", "-i", f"{tmp_path}/honest.tar")
    (tmp_path / "honest.tar").unlink()
    told = classic(engine, "--cache-from", "honest", directory).stdout
    assert "Using cache" not in told


def test_the_same_digest_twice_with_a_given_time(engine, context):
    directory = context(
        "FROM busybox\nCOPY f /d/f\nWORKDIR /w\nRUN date > /dev/null; touch /w/x\n", f="x"
    )
    ids = []
    for name in ("first", "second"):
        classic(engine, "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-t", name,
                directory)  # fmt: skip
        ids.append(engine.docker("images", "-q", "--no-trunc", name).stdout)
    assert ids[0] == ids[1]


def test_our_build_takes_the_time_of_the_environment(engine, context, monkeypatch):
    directory = context("FROM busybox\nCOPY f /d/f\nRUN touch /x\n", f="x")
    given = ("build", "-q", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1", directory)
    wanted = engine.cutaway(*given).stdout
    assert engine.cutaway("build", "-q", "--no-cache", directory).stdout != wanted
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert engine.cutaway("build", "-q", "--no-cache", directory).stdout == wanted


def test_squash_leaves_one_layer_on_the_base(engine, context):
    directory = context("FROM busybox\nRUN echo a > /a\nRUN rm /a; echo b > /b\n")
    classic(engine, "--squash", "-t", "squashed", directory)
    layers = json.loads(engine.docker("inspect", "squashed").stdout)[0]["RootFS"]["Layers"]
    assert len(layers) == 2
    assert files_of(engine, "squashed", "cat /b; ls /a 2>&1 || true").startswith("b\n")


def test_buildkit_is_refused_with_a_sentence(engine):
    with pytest.raises(ApiError, match="set DOCKER_BUILDKIT=0 to use the classic builder"):
        engine.client.request("POST", "/build", query={"version": "2"}, body=iter(()))


PLACE = {
    "FROM busybox\nCPOY a b\n":
        "dockerfile parse error on line 2: unknown instruction: CPOY (did you mean COPY?)\n"
        "Dockerfile:2\nCPOY a b\n^",
    "FROM busybox\nCOPY --form=x a b\n":
        "dockerfile parse error on line 2: unknown flag: --form (did you mean --from?)\n"
        "Dockerfile:2\nCOPY --form=x a b\n     ^",
    "FROM busybox\nCOPY readme.txt /\n":
        "COPY failed: file not found in build context or excluded by .dockerignore: "
        "stat readme.txt: file does not exist (did you mean readme.md?)\n"
        "Dockerfile:2\nCOPY readme.txt /\n^",
    "FROM busybox AS a\nCOPY --from=b /x /x\nFROM busybox AS b\nCOPY --from=a /x /x\n":
        "dockerfile parse error on line 3: circular dependency detected on stage: b -> a -> b\n"
        "Dockerfile:3\nFROM busybox AS b\n^",
}  # fmt: skip


@pytest.mark.parametrize("dockerfile", PLACE)
def test_an_error_has_file_line_caret_and_suggestion(engine, context, dockerfile):
    done = classic(engine, context(dockerfile, **{"readme.md": ""}), check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(PLACE[dockerfile])


def test_a_misspelled_stage_is_suggested(engine, cutaway, context):
    text = cutaway.fails("build", context(
        "FROM busybox AS builder\nFROM busybox\nCOPY --from=biulder /x /x\n"
    ))  # fmt: skip
    assert "(did you mean builder?)" in text
    assert "Dockerfile:3\nCOPY --from=biulder /x /x\n            ^" in text


def test_a_failing_step_shows_output_command_and_code(engine, cutaway, context):
    done = cutaway.run("build", context("FROM busybox\nRUN echo words; exit 3\n"), code=1)
    assert " > [2/2] RUN echo words; exit 3:\nwords\n------\n" in done.stdout
    assert "   2 | >>> RUN echo words; exit 3" in done.stdout
    assert "The command '/bin/sh -c echo words; exit 3' returned a non-zero code: 3" in done.stderr


def test_a_shell_opens_in_the_failed_step_with_its_mounts(engine, cutaway, context):
    directory = context(
        "FROM busybox\nRUN --mount=target=/src echo half > /made; exit 3\n", f="seen\n"
    )
    with cutaway.terminal("build", "--on-error", "shell", directory) as terminal:
        terminal.expect(rb"# ")
        terminal.send(b"cat /made /src/f; exit\n")
        terminal.expect(rb"half\r\nseen")
        assert terminal.wait() == 1


def test_a_client_that_leaves_ends_its_build(engine, context):
    directory = context("FROM busybox\nRUN sleep 1000\n")
    client = engine.host.popen(
        ["docker", "build", directory],
        env={**engine.environment(), "DOCKER_BUILDKIT": "0"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: bool(engine.client.get("/containers/json")), timeout_s=30)
    client.kill()
    client.wait()
    eventually(lambda: not engine.client.get("/containers/json"), timeout_s=30)
    engine.wait_until_clean()


def test_a_context_that_is_not_there_is_refused_before_an_engine_is_asked(engine):
    words = (*engine.our_command, "-H", "unix:///nowhere", "build", "/nowhere")
    done = engine.host.run(*words, check=False)
    assert done.stderr == 'unable to prepare context: path "/nowhere" not found\n'
    assert done.returncode == 1


def test_a_large_file_of_the_context_is_each_stage_s_own(engine, cutaway, context):
    directory = context(
        "FROM busybox AS one\nCOPY large /l\nRUN echo more >> /l && chmod 600 /l\n"
        "FROM busybox AS two\nCOPY large /l\n"
        "FROM two\nCOPY --from=one /l /one\nCOPY large large2 /again/\n",
        large="x" * 300_000, large2="y" * 300_000,
    )  # fmt: skip
    cutaway("build", "-q", "-t", "linked", directory)
    told = files_of(engine, "linked", "stat -c '%n %s %a' /l /one /again/large /again/large2")
    assert told.splitlines() == [
        "/l 300000 644", "/one 300005 600", "/again/large 300000 644",
        "/again/large2 300000 644",
    ]  # fmt: skip
