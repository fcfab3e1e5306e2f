"""The image of this machine's own programs: it runs, and it is an image like any other."""

import ctypes
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cutaway.images.host.collect import Collection, ProgramNotFound
from cutaway.images.host.image import build_host_image
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Host:
    """A store with the image of some programs."""

    def __init__(self, root: Path, *programs: str) -> None:
        root.mkdir(exist_ok=True)
        self.snapshots = Snapshots(str(root / "snapshots"))
        self.store = ImageStore(str(root), self.snapshots)
        self.image = build_host_image(self.store, self.snapshots, "host", programs=programs)
        assert self.image.chain_id is not None
        self.root = Path(self.snapshots.directory(self.image.chain_id))

    def run(self, script: str) -> str:
        """Run a script in the image's files alone, with a fresh proc."""
        proc = f"mount -t proc proc {self.root}/proc"
        command = f"{proc} && exec chroot {self.root} sh -ec '{script}'"
        done = subprocess.run(
            ["unshare", "-mpf", "--propagation", "private", "sh", "-c", command],
            capture_output=True, text=True, env={"PATH": _PATH}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"))


def test_the_first_command_of_the_readme_runs(host: Host) -> None:
    said = host.run("echo hello from $(hostname); ps ax; id -un; ip -o link show lo; ls -l /")
    assert said.startswith("hello from ")
    assert "ps ax" in said
    assert "root\n" in said
    assert "LOOPBACK" in said


def test_every_program_finds_its_libraries(host: Host) -> None:
    said = host.run(
        "for f in /usr/bin/* /usr/sbin/* /bin/* /sbin/*; do"
        "  case $(head -c 4 $f | tail -c 3) in ELF) /lib64/ld-*.so.2 --list $f 2>&1 | "
        '  grep "not found" && echo $f || true;; esac; done; echo checked'
    )
    assert said.endswith("checked\n")
    assert "not found" not in said


def test_it_is_made_of_this_machine_s_own_files(host: Host) -> None:
    for program in ("sh", "ls", "ps"):
        real = Path(str(shutil.which(program))).resolve()
        assert (host.root / str(real).lstrip("/")).read_bytes() == real.read_bytes()
    assert (host.root / "etc/passwd").read_bytes() == Path("/etc/passwd").read_bytes()
    assert not (host.root / "etc/shadow").exists()
    assert (host.root / "tmp").stat().st_mode & 0o7777 == 0o1777
    for link in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(link):
            assert os.readlink(f"{host.root}{link}") == os.readlink(link)


def test_the_same_machine_gives_the_same_image(host: Host, tmp_path: Path) -> None:
    assert Host(tmp_path / "again").image.id == host.image.id


def test_its_config_is_complete(host: Host) -> None:
    config = host.image.config
    assert (config.os, config.config.cmd) == ("linux", ("sh",))
    assert config.config.env[0].startswith("PATH=")
    assert config.created.startswith("20")
    layer = host.store.read_manifest(host.image).layers[0]
    with host.store.content.open(layer.digest) as file:
        data = file.read()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == layer.digest


def test_chosen_programs_and_nothing_else(tmp_path: Path) -> None:
    small = Host(tmp_path / "small", "sh", "id")
    assert small.run("id -u") == "0\n"
    assert not (small.root / "usr/bin/ls").exists()
    assert small.image.config.history[0].created_by == "cutaway image from-host: sh id"


def test_script_brings_its_interpreter_and_directory_its_content(tmp_path: Path) -> None:
    tree = tmp_path / "app"
    (tree / "sub").mkdir(parents=True)
    (tree / "run").write_text("#!/usr/bin/env cat\nhello\n")
    (tree / "run").chmod(0o755)
    (tree / "sub/data").write_text("x")
    (tree / "link").symlink_to("sub/data")
    host = Host(tmp_path / "store", "sh", str(tree))
    assert host.run(f"{tree}/run; cat {tree}/link") == "#!/usr/bin/env cat\nhello\nx"


def test_missing_program_is_named(tmp_path: Path) -> None:
    for name in ("no-such-program", "/no/such/program"):
        with pytest.raises(ProgramNotFound, match=name):
            Host(tmp_path / "store", "sh", name)
    assert (
        ImageStore(str(tmp_path / "store"), Snapshots(f"{tmp_path}/store/snapshots")).list() == []
    )


def test_libraries_are_those_that_the_loader_maps() -> None:
    program = str(Path(str(shutil.which("ip"))).resolve())
    collection = Collection.for_this_machine()
    collection.add_file(program)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    expected = {line.split("=>")[0].strip() for line in listed.splitlines() if "=>" in line}
    # ldd shows the loader, which some libraries name too, by its path.
    assert {n for n in collection.libraries if not n.startswith("ld-")} == expected
    assert collection.missing == {}


def test_runpath_and_origin_are_followed(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("probe: no C compiler on this machine")
    (tmp_path / "lib").mkdir()
    (tmp_path / "a.c").write_text("int answer(void) { return 42; }")
    (tmp_path / "main.c").write_text("int answer(void); int main(void) { return answer(); }")
    library = tmp_path / "lib/libanswer-cutaway.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "a.c"], check=True)
    for tag in ("--enable-new-dtags", "--disable-new-dtags"):
        program = tmp_path / f"main{tag}"
        subprocess.run(
            ["cc", "-o", program, tmp_path / "main.c", f"-L{tmp_path}/lib", "-lanswer-cutaway",
             f"-Wl,{tag},-rpath,$ORIGIN/lib"],
            check=True,
        )  # fmt: skip
        collection = Collection.for_this_machine()
        collection.add_file(str(program))
        assert str(library) in collection.paths
        assert collection.missing == {}


def test_image_s_own_loader_cache_finds_libraries_in_odd_places(host: Host) -> None:
    if not (host.root / "etc/ld.so.cache").exists():
        pytest.skip("probe: this machine has no loader cache")
    assert ctypes.sizeof(ctypes.c_void_p) == 8
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    printed = subprocess.run(
        [str(ldconfig), "-p", "-C", f"{host.root}/etc/ld.so.cache"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    paths = [line.split(" => ")[1] for line in printed.splitlines() if " => " in line]
    assert paths
    assert all((host.root / path.lstrip("/")).exists() for path in paths)
