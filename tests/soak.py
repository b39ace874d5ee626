"""Runs of `i2s` that end badly: killed, on a full disk, with a closed pipe, side by side. Nothing may be lost.

    python tests/soak.py --kills 200 --full 100 --pipes 100 --crowds 3 --cold 20

Each run is a process of its own, forked from this one, in which torch is loaded; `--cold` further kills are of Pythons
started anew. `Folder.check` says what must hold: each file of before is there, as it was or replaced by a whole one;
photos and files of the user are as they were. A run that goes on from its checkpoint ends bit for bit as the one that
was never stopped.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from helpers import FakeFeatureNet, small_generator, targets
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import i2s
from i2s.cli import main
from i2s.embedding import NoiseSettings, TuningSettings
from i2s.figures import contact_sheet
from i2s.generators.file import save_generator
from i2s.images import write_image

SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGKILL")
PHOTOS = ("a.png", "b.png")
CHECKPOINT = "run.safetensors"
KINDS = {  # of runs: arguments of the command, and settings that it does not take
    "fast": (["--steps", "10", "--video", "gif"], {}),
    "adam": (["--preset", "image2stylegan", "--steps", "40", "--full-size"], {}),
    "noise": (["--preset", "image2stylegan++", "--steps", "20"], {"noise": NoiseSettings(steps=20)}),
    "tuning": (["--preset", "pti", "--steps", "20"], {"tuning": TuningSettings(steps=10)}),
}
OUTPUT_ERROR, BROKEN_PIPE = 7, 141


class Lost(AssertionError):
    """Something was lost, or is half-written, or wrong."""


def expect(holds: object, what: object) -> None:
    if not holds:
        raise Lost(what)


# ---- processes -------------------------------------------------------------------------------------------------------


def fork(act: Callable[[], int], folder: Path, stdout: int | None = None, unused: int | None = None) -> int:
    """Call a function in a process of its own, and return its number; its stderr is the file `said` in the folder.

    Args:
        act: Returns the exit code.
        folder: Where it runs.
        stdout: Its standard output; None for none.
        unused: A file that it must not keep open.
    """
    numbers = [getattr(signal, name) for name in SIGNALS[:-1]]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # until the child is no Python of this program any more
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid
    code = 99
    try:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.chdir(folder)
        if unused is not None:
            os.close(unused)
        tempfile.tempdir = None
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_WRONLY) if stdout is None else stdout, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", 1)
        code = act()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid: int, limit: float = 120) -> int:
    """Return the exit code, or minus the signal that ended the process."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Lost(f"the run did not end in {limit} s")


def embed_command(kind: str, photos: tuple[str, ...] = PHOTOS, *more: str) -> Callable[[], int]:
    """Return a function that runs `i2s embed` with a network and intervals that take little time."""
    arguments, settings = KINDS[kind]
    plain = i2s.embed

    def run() -> int:
        fixed = {"perceptual": FakeFeatureNet(), "checkpoint_every": 4, **settings}
        i2s.embed = lambda *given, **keywords: plain(*given, **(keywords | fixed))
        options = ["--generator", "tiny.safetensors", "--quiet", "--checkpoint", CHECKPOINT]
        return main(["embed", *photos, *options, *arguments, *more])

    return run


# ---- what must hold --------------------------------------------------------------------------------------------------


class Folder:
    """A folder of a user: two photos, notes, a generator, and the results of an earlier run.

    Args:
        path: The folder, which is made.
        model: A folder to copy.
    """

    def __init__(self, path: Path, model: Path):
        self.path = shutil.copytree(model, path)
        self.before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def said(self) -> str:
        return (self.path / "said").read_text()

    def check(self, killed: bool = False) -> None:
        """Raise `Lost` unless everything of before is there, and whole; only KILL may leave temporary files."""
        for file, content in self.before.items():
            expect(file.exists(), f"{file.name} is gone")
            own = "i2s-out" in file.parts or not content  # the command's own
            expect(own or file.read_bytes() == content, f"{file.name} was changed")
        for file in self.path.rglob("*"):
            if file.name.startswith(".i2s-"):
                expect(killed, f"{file.name} was left behind")
                file.unlink()
            elif file.is_file():
                whole(file)

    def results(self) -> dict[str, object]:
        return {file.name: content_of(file) for file in sorted((self.path / "i2s-out").iterdir())}


def whole(file: Path) -> None:
    try:
        content_of(file)
    except Exception as error:
        raise Lost(f"{file.name} is half-written: {error}") from error


def room_for(folder: Path) -> int:
    """KiB that the files of a folder take, in pages of 4 KiB."""
    return sum(-(-file.stat().st_size // 4096) * 4 for file in folder.rglob("*") if file.is_file())


def content_of(file: Path) -> object:
    """Return what a file holds, without the seconds that it took and notices of checkpoints."""
    if file.suffix == ".safetensors":
        with safe_open(str(file), "pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("result", "{}"))
        facts = {name: value for name, value in facts.items() if name not in ("seconds", "notices")}
        return facts, {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}
    if file.suffix in (".png", ".gif"):
        with Image.open(file) as image:
            image.seek(image.n_frames - 1 if file.suffix == ".gif" else 0)
            image.load()
    return file.read_bytes()


class Soak:
    """The runs, each in a new folder.

    Args:
        base: A folder for all of them.
        seed: Of the moments at which something happens.
    """

    def __init__(self, base: Path, seed: int = 0):
        self.base = base
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.number = 0
        plain = base / "plain"
        plain.mkdir(parents=True)
        generator = small_generator()
        save_generator(generator, plain / "tiny.safetensors", half=False)
        for name, image in zip(PHOTOS, targets(generator)):
            write_image(image, plain / name)
        contact_sheet([plain / name for name in PHOTOS], labels=PHOTOS)  # imports what each process would import anew
        (plain / "notes.txt").write_text("of the user")
        # What a run that nothing disturbs writes, and how long it takes; a run of other settings has been there before
        self.expected, self.seconds, self.models = {}, {}, {}
        for kind in KINDS:
            self.models[kind] = shutil.copytree(plain, base / f"model-{kind}")
            self.finish(Folder(base / f"earlier-{kind}", plain), kind, "--seed", "1")
            shutil.copytree(base / f"earlier-{kind}" / "i2s-out", self.models[kind] / "i2s-out")
            folder = Folder(base / f"expected-{kind}", self.models[kind])
            started = time.monotonic()
            self.finish(folder, kind)
            self.seconds[kind] = time.monotonic() - started
            self.expected[kind] = folder.results()

    def folder(self, kind: str) -> Folder:
        self.number += 1
        return Folder(self.base / f"run-{self.number}", self.models[kind])

    def finish(self, folder: Folder, kind: str, *more: str) -> None:
        """Run to the end, which must succeed; files that KILL left do no harm."""
        code = wait(fork(embed_command(kind, PHOTOS, "--resume", *more), folder.path))
        expect(code == 0, f"exit code {code}: {folder.said()}")
        folder.check()

    def equals_expected(self, folder: Folder, kind: str) -> None:
        found = folder.results()
        expect(found.keys() == self.expected[kind].keys(), f"files are {list(found)}")
        differing = [name for name, content in found.items() if content != self.expected[kind][name]]
        expect(not differing, f"{differing} differ from those of a run that was never stopped")

    def run(self, what: str, act: Callable[[str], None], count: int) -> None:
        """Do something `count` times, with each kind in turn; what is lost is said and counted."""
        for k in range(count):
            kind = list(KINDS)[k % len(KINDS)]
            try:
                act(kind)
                self.counts[f"{what}: all there"] += 1
                shutil.rmtree(self.base / f"run-{self.number}")
            except Lost as error:
                self.counts[f"{what}: LOST"] += 1
                print(f"{what}, {kind}, run-{self.number}: {error}", file=sys.stderr)

    # ---- one run each ----

    def kill(self, kind: str, cold: bool = False) -> None:
        """Kill a run at a random moment, up to three times, and let it go on to its end."""
        folder = self.folder(kind)
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            name = self.random.choice(SIGNALS)
            pid = self.cold(folder, kind) if cold else fork(embed_command(kind, PHOTOS, "--resume"), folder.path)
            time.sleep(self.random.uniform(0, self.seconds[kind] * 1.1 + 3 * cold))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, name))
            self.after_kill(folder, name, wait(pid))
        self.finish(folder, kind)
        self.equals_expected(folder, kind)

    def after_kill(self, folder: Folder, name: str, code: int) -> None:
        said = folder.said() if (folder.path / "said").exists() else ""
        number = int(getattr(signal, name))
        expect(code in (0, -number, 128 + number), f"{name} gave the exit code {code}: {said}")
        expect("Traceback" not in said or code == -number, said)
        folder.check(killed=name == "SIGKILL")
        saved = "what was found is saved" in said
        self.counts[f"{name}: " + ("saved" if saved else "finished" if code == 0 else "ended")] += 1
        if saved:
            facts, _ = content_of(folder.path / "i2s-out" / "a.safetensors")
            expect(facts["stopped"] == "interrupted", f"what was saved is {facts['stopped']!r}")

    def kill_another(self, _: str) -> None:
        """Kill `i2s morph` or `i2s convert`, whose output replaces an earlier one."""
        folder = self.folder("adam")
        code = "i2s-out/a.safetensors"
        options = ["--generator", "tiny.safetensors", "--force"]
        out = self.random.choice(("m.gif", "m.png", "m.mp4", "w.npz", "tiny2.safetensors"))
        given = ["morph", code, "i2s-out/b.safetensors", "-o", out, *options]
        if not out.startswith("m."):
            given = ["convert", code if out == "w.npz" else "tiny.safetensors", out, "--force"]
        started = time.monotonic()
        expect(wait(fork(lambda: main(given), folder.path)) == 0, folder.said())
        lasted = time.monotonic() - started
        folder.before[folder.path / out] = b""
        first = content_of(folder.path / out)
        pid = fork(lambda: main(given), folder.path)
        time.sleep(self.random.uniform(0, lasted))
        name = self.random.choice(SIGNALS)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, name))
        self.after_kill(folder, name, wait(pid))
        expect(content_of(folder.path / out) == first, f"{out} is another one")

    def cold(self, folder: Folder, kind: str) -> int:
        """Start Python anew; its fingerprints and settings are those of the forked runs."""
        code = f"import soak, sys; sys.exit(soak.embed_command({kind!r}, soak.PHOTOS, '--resume')())"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with open(folder.path / "said", "w") as said:
            run = [sys.executable, "-c", code]
            process = subprocess.Popen(run, cwd=folder.path, stderr=said, stdout=subprocess.DEVNULL, env=environment)
        process.returncode = 0  # it is waited for by its number
        return process.pid

    def full(self, kind: str) -> None:
        """Run on a disk with room for a part of the results, or none; what was found must be somewhere."""
        folder = self.folder(kind)
        disk, safe = folder.path / "i2s-out", folder.path / "temporary"
        safe.mkdir()
        used, needed = room_for(disk) + 4, room_for(self.base / f"expected-{kind}")

        def run() -> int:
            tempfile.tempdir = str(safe)
            return embed_command(kind, PHOTOS, "--checkpoint", "i2s-out/c.safetensors")()

        with full_disk(disk, used + self.random.randint(0, needed)) as limit:
            code = wait(fork(lambda: limit() or run(), folder.path))
            said = folder.said()
            folder.check()
            found = {file.name: content_of(file) for file in disk.iterdir() if file.name != "c.safetensors"}
        self.counts[f"full disk: exit code {code}"] += 1
        if code == 0:
            expect(found == self.expected[kind], "results differ")
        else:
            expect(code == OUTPUT_ERROR and "Traceback" not in said, f"exit code {code}: {said}")
            place = re.search(r"What was found is in (\S+)\.\n", said)
            before = "cannot be written" in said  # said before the work
            expect(before or (place and content_of(Path(place[1]))), f"nothing says where the codes are: {said}")

    def pipe(self, kind: str) -> None:
        """Run with a reader of stdout that goes away at a random moment; all results must be there."""
        folder = self.folder(kind)
        reading, writing = os.pipe()
        pid = fork(embed_command(kind), folder.path, writing, unused=reading)
        os.close(writing)
        time.sleep(self.random.uniform(0, self.seconds[kind]))
        os.close(reading)
        code = wait(pid)
        expect(code in (0, BROKEN_PIPE), f"exit code {code}: {folder.said()}")
        self.counts[f"pipe: exit code {code}"] += 1
        folder.check()
        self.equals_expected(folder, kind)

    def crowd(self, kind: str, size: int = 8) -> None:
        """Start processes at once that write the same results; each must succeed, and the files be whole."""
        folder = self.folder(kind)
        names = [f"p{k}.png" for k in range(size)]
        for k, name in enumerate(names):
            shutil.copy(folder.path / PHOTOS[k % 2], folder.path / name)
        for name in (*names, *PHOTOS):
            folder.before[folder.path / name] = (folder.path / name).read_bytes()
        shutil.rmtree(folder.path / "i2s-out")  # each makes it
        folder.before = {file: content for file, content in folder.before.items() if "i2s-out" not in file.parts}
        for what, photos in (("own", [(name,) for name in names]), ("the same", [PHOTOS] * size)):
            own = [("--checkpoint", f"{what} {k}.safetensors") for k in range(size)]
            pids = [fork(embed_command(kind, some, *more), folder.path) for some, more in zip(photos, own)]
            codes = [wait(pid) for pid in pids]
            expect(codes == [0] * size, f"exit codes {codes}: {folder.said()}")
            folder.check()
        self.counts["processes at once"] += 2 * size

    def threads(self, kind: str, size: int = 8) -> None:
        """Embed in threads that share a generator; each must find what it finds alone."""
        folder = self.folder(kind)
        generator = small_generator()
        photos = targets(generator, size)
        settings = {"perceptual": FakeFeatureNet(), "progress": False, "steps": 8}
        presets = {"fast": {"preset": "fast"}, "adam": {}}
        settings |= presets.get(kind, {}) | KINDS[kind][1]

        def find(k: int) -> torch.Tensor:
            return i2s.embed(photos[k], generator, **settings).image

        alone = [find(k) for k in range(size)]
        with ThreadPoolExecutor(size) as pool:
            together = list(pool.map(find, range(size)))
        worst = max(float((a - b).abs().max()) for a, b in zip(alone, together))
        expect(worst < 1e-5, f"{worst:.1e} apart")
        self.counts["threads at once"] += size
        folder.check()


@contextlib.contextmanager
def full_disk(folder: Path, room: int) -> Iterator[Callable[[], None]]:
    """Put the folder on a disk of `room` KiB, or else limit the size of files; yields what the process calls first."""
    mounted = False
    if sys.platform == "linux" and os.geteuid() == 0:
        content = {file.name: file.read_bytes() for file in folder.iterdir()}
        mount = ["mount", "-t", "tmpfs", "-o", f"size={room}k", "tmpfs", str(folder)]
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        if mounted:
            for name, data in content.items():
                (folder / name).write_bytes(data)
            yield lambda: None
        else:
            import resource

            largest = max(file.stat().st_size for file in folder.iterdir())
            yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * room % largest,) * 2)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def soak(base: Path, kills: int, cold: int, full: int, pipes: int, crowds: int, seed: int = 0) -> Counter[str]:
    """Make all runs, and return how many ended how; those with "LOST" in their names should not have."""
    torch.set_num_threads(1)  # a process with threads cannot be forked
    with contextlib.redirect_stdout(io.StringIO()):
        runs = Soak(base, seed)
    runs.run("killed", runs.kill, kills)
    runs.run("killed, other commands", runs.kill_another, kills // 5)
    runs.run("killed, cold", lambda kind: runs.kill(kind, cold=True), cold)
    runs.run("full disk", runs.full, full)
    runs.run("closed pipe", runs.pipe, pipes)
    runs.run("processes", runs.crowd, crowds)
    runs.run("threads", runs.threads, crowds)
    return runs.counts


if __name__ == "__main__":
    if not hasattr(os, "fork"):
        sys.exit("This system has no fork: run it on Linux or macOS.")
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, count in {"kills": 200, "cold": 20, "full": 100, "pipes": 100, "crowds": 4, "seed": 0}.items():
        options.add_argument(f"--{name}", type=int, default=count)
    with tempfile.TemporaryDirectory() as place:
        counts = soak(Path(place) / "soak", **vars(options.parse_args()))
    for what, count in sorted(counts.items()):
        print(f"{count:5}  {what}")
    sys.exit(any("LOST" in what for what in counts))
