"""Thousands of damaged and doctored weight files: refused, or read as what they say, and nothing else happens.

Each case takes a good file and changes it: bits, bytes, length, whole instructions, payloads in between. The case
number is the seed. `I2S_FUZZ_CASES=10000` makes it the nightly size; `-s` prints the counts.

What is a silent wrong result? Pickles carry no checksum, so a changed number inside a tensor or a setting cannot be
seen by anybody. Everything else can: for files that hold a network, a case fails when a generator comes out whose
class, tensor names, shapes or dtypes are not those of the good file, or that holds NaN or infinity. For files that
hold none, the tree must be inert: known types only, no cycles, no more numbers than bytes.
"""

import math
import os
import pickle
import pickletools
import random
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import makers
import pytest
import test_read_latents
from makers import call, name, text

pytest.importorskip("resource")  # limits need it; Windows has none
from test_evil import Worker

CASES = int(os.environ.get("I2S_FUZZ_CASES", 300))
NETWORKS = ["evil/good-micro.pkl", "evil/good-micro-tf.pkl", "dev/ros-32.pt", "dev/sg3r-32.pkl"]
Span = tuple[int, int]

OPCODES = [ord(opcode.code) for opcode in pickletools.opcodes]
COMMAND = text(makers.COMMAND)
PAYLOADS = [
    call(name("os", "system"), COMMAND),
    call(name("builtins", "eval"), COMMAND),
    call(name("torch_utils.persistence", "_src_to_module"), COMMAND),
    name("os", "system", 2) + pickle.MARK + COMMAND + pickle.TUPLE + pickle.REDUCE,
    name("collections", "OrderedDict") + pickle.NONE + pickle.EMPTY_DICT + pickle.TUPLE2 + pickle.BUILD,
    pickle.MARK + COMMAND + pickle.INST + b"os\nsystem\n",
    pickle.EMPTY_LIST + pickle.MEMOIZE + pickle.BINGET + b"\0" + pickle.APPEND,
    pickle.BINPERSID,
    pickle.STOP,
    pickle.BINGET + b"\1",
]


def instructions(data: bytes, start=0) -> list[Span]:
    """Where the instructions of a pickle lie, with those of the storages inside it and of pickles that follow it."""
    spans: list[Span] = []
    while data[start : start + 1] == pickle.PROTO:
        stream = BytesIO(data[start:])
        try:
            found = list(pickletools.genops(stream))
        except Exception:  # not a pickle after all, but bytes that begin like one
            break
        ends = [position for _, _, position in found[1:]] + [stream.tell()]
        for (_, argument, position), end in zip(found, ends):
            spans.append((start + position, start + end))
            if isinstance(argument, bytes) and argument.startswith(pickle.PROTO):
                spans += instructions(data[: start + end], start + end - len(argument))
        start += stream.tell()
    return spans


def without_frames(data: bytes) -> bytes:
    """The same pickle with no FRAME, whose length would give away most changes at once."""
    return b"".join(data[a:b] for a, b in _top(data) if data[a : a + 1] != pickle.FRAME)


def _top(data: bytes) -> list[Span]:
    positions = [position for _, _, position in pickletools.genops(data)]
    return list(zip(positions, positions[1:] + [len(data)]))


def flip(data: bytearray, rng: random.Random, first: int, last: int) -> None:
    for _ in range(rng.choice([1, 1, 2, 4])):
        data[rng.randrange(first, max(last, first + 1))] ^= 1 << rng.randrange(8)


def mutate(data: bytes, spans: list[Span], rng: random.Random) -> tuple[str, bytes]:
    """One change: its name and the changed file."""
    kind = rng.choice(["bits", "bits of code", "cut", "bytes", "drop", "double", "swap", "opcode", "number", "payload"])
    (a, b), (c, d) = sorted(rng.choice(spans) for _ in range(2))
    out = bytearray(data)
    if kind == "bits":
        flip(out, rng, 0, len(out))
    elif kind == "bits of code":
        flip(out, rng, a, min(b, a + 16))
    elif kind == "cut":
        del out[rng.randrange(len(out)) :]
    elif kind == "bytes":
        start = rng.randrange(len(out))
        out[start : start + rng.randrange(1, 16)] = rng.randbytes(rng.randrange(1, 16))
    elif kind == "drop":
        del out[a:b]
    elif kind == "double":
        out[b:b] = data[a:b]
    elif kind == "swap" and b <= c:
        out[a:d] = data[c:d] + data[b:c] + data[a:b]
    elif kind == "opcode":
        out[a] = rng.choice(OPCODES)
    elif kind == "number":  # a small number elsewhere: sizes, offsets, memo indices
        small = [span for span in spans if span[1] - span[0] == 2]
        a, b = rng.choice(small or spans)
        out[b - 1] = rng.choice([0, 1, 2, 127, 255, rng.randrange(256)])
    else:
        out[a:a] = rng.choice(PAYLOADS)
    return kind, bytes(out)


class Base:
    """A good file, and how to change it."""

    def __init__(self, path: Path, network: bool):
        self.name, self.network, self.data = path.name, network, path.read_bytes()
        self.zipped = self.data.startswith(b"PK")
        if self.zipped:
            with zipfile.ZipFile(path) as archive:
                self.members = {member: archive.read(member) for member in archive.namelist()}
            self.inner = next(member for member in self.members if member.endswith("data.pkl"))
            self.spans = instructions(self.members[self.inner])
        else:
            if path.suffix == ".pkl":
                self.data = without_frames(self.data)
            self.spans = instructions(self.data)

    def case(self, rng: random.Random) -> tuple[str, bytes]:
        if not self.zipped:
            return mutate(self.data, self.spans, rng)
        if rng.random() < 0.3:  # the archive itself
            return mutate(self.data, [(0, 16), (len(self.data) - 64, len(self.data))], rng)
        kind, inner = mutate(self.members[self.inner], self.spans, rng)
        return kind, makers.zip_file(self.members | {self.inner: inner})  # with the right checksum


@pytest.mark.timeout(7200)
def test_changed_files(tmp_path):
    files = makers.good_files()
    for file_name, data in files.items():
        (tmp_path / file_name).write_bytes(data)
    fuzz([Base(tmp_path / file_name, network=False) for file_name in files], tmp_path)


@pytest.mark.timeout(7200)
def test_changed_networks(tmp_path, shared):
    fuzz([Base(shared / "fixtures" / file_name, network=True) for file_name in NETWORKS], tmp_path)


@pytest.mark.timeout(7200)
def test_changed_codes(tmp_path):
    """Latent codes of other tools: whatever comes out is a code, and no more of it than the file can hold."""
    path = tmp_path / "case.bin"
    worker = Worker(tmp_path, ["read", "latents"], [])
    names = ["projected_w.npz", "compressed.npz", "columns first.npy", "tensor.pt", "rosinality.pt", "array.pkl"]
    counts = Counter()
    for case in range(CASES):
        rng = random.Random(case)
        content = bytearray(test_read_latents.READ[names[case % len(names)]])
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        else:  # headers and directories, where most of the rules are
            start = rng.choice([0, 0, max(0, len(content) - 300)])
            flip(content, rng, start, min(len(content), start + 300))
        path.write_bytes(content)
        answer = worker.read(path, "latents")
        counts[answer["outcome"]] += 1
        if answer["outcome"] == "read":
            assert math.prod(answer["message"]["code"]) <= 18 * 12, case
    worker.close()
    assert counts["refused"] > CASES // 4 and counts["read"] > CASES // 50


def fuzz(bases: list[Base], tmp_path: Path) -> None:
    """Read `CASES` changed files in a process of their own, and check how each of them ends."""
    folder = tmp_path / "worker"
    folder.mkdir()
    path = tmp_path / "case.bin"
    networks = []
    for base in bases:
        if base.network:
            networks.append(tmp_path / base.name)
            networks[-1].write_bytes(base.data)
    worker = Worker(folder, ["read", "load"] if networks else ["read"], [str(network) for network in networks])
    expected = {network.name: worker.read(network, "load") for network in networks}
    counts, kinds, structures = Counter(), Counter(), Counter()
    for case in range(CASES):
        rng = random.Random(case)
        base = bases[case % len(bases)]
        kind, data = base.case(rng)
        path.write_bytes(data)
        label = (case, base.name, kind)
        answer = worker.read(path, "load" if base.network else "read")
        outcome = answer["outcome"]
        if base.network and outcome == "read":
            assert answer["message"] == expected[base.name]["message"], label
        counts[outcome] += 1
        kinds[kind, outcome] += 1
        structures["network" if base.network else "tree", outcome] += 1
    worker.close()
    print(f"\n{CASES} cases: {dict(counts)}, {dict(structures)}")
    for kind in sorted({kind for kind, _ in kinds}):
        print(f"  {kind:13} refused {kinds[kind, 'refused']:5}   read {kinds[kind, 'read']:5}")
    assert counts["refused"] > CASES // 4 and counts["read"] > CASES // 50  # it changes something, and not everything
