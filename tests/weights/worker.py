"""Reads files in a process of its own, under a memory limit and an audit hook. Jobs come as JSON lines on stdin.

A job is `[id, path, action]`; the answer is a line `{"id", "outcome", "message", "seconds", "events"}`. `outcome` is
"refused" for a WeightFileError, "read" with a digest of the tree in `message`, or "broken" for anything else;
`seconds` is time of the processor. `events` lists what Python's audit hook saw that no reading needs: imports, compiled
code, processes, sockets, files opened for writing. The limit is `LIMIT` bytes above what the process takes when ready.
"""

import io
import json
import pickle
import resource
import signal
import sys
import time
from contextlib import suppress

import makers
import numpy as np
import torch

from i2s.errors import WeightFileError
from i2s.weights.inspect import inspect_file
from i2s.weights.object_graph import PersistentObject, TFNetwork
from i2s.weights.reader import Reader, read_weights

LIMIT = 500 << 20
TIMEOUT = 10  # seconds of processor time for one job; the tests assert on the time that it says it took
NEEDED = {"open", "mmap.__new__", "builtins.id"}

armed, events = False, []


def audit(event, arguments):
    if armed and not (event in NEEDED and (event != "open" or arguments[1] in ("r", "rb"))):
        events.append(f"{event} {str(arguments[:1])[:80]}")


def digest(tree, size: int) -> dict:
    """Path -> shape and dtype of each tensor, after checking that the tree is inert: known types, no cycle, bounded.

    It is written without the reader's own check, and visits shared branches once.
    """
    tensors, seen, waiting, total, touched = {}, set(), [("", tree, 0)], 0, 0
    while waiting:
        name, node, depth = waiting.pop()
        assert depth <= 250, "too deep"
        if type(node) in (type(None), bool, int, float, str, memoryview) or id(node) in seen:
            continue
        seen.add(id(node))
        if type(node) in (PersistentObject, TFNetwork):
            assert type(node.state) is dict
            waiting.append((f"{name}:{getattr(node, 'class_name', 'Network')}", node.state, depth + 1))
        elif type(node) is dict:
            assert all(type(key) in (str, int) for key in node)
            waiting += [(f"{name}.{key}"[-200:], part, depth + 1) for key, part in node.items()]
        elif type(node) in (list, tuple):
            waiting += [(f"{name}.{i}"[-200:], part, depth + 1) for i, part in enumerate(node)]
        elif type(node) is set:
            assert all(type(item) in (str, int) for item in node)
        elif type(node) is torch.Tensor:
            assert node.device.type == "cpu" and not node.requires_grad and not node.is_complex()
            assert node.numel() * node.element_size() <= size + 65536
            touched += node.nbytes
            if touched <= size:  # many may share their numbers
                node.clone()
            tensors[name] = [list(node.shape), str(node.dtype)]
        else:
            assert isinstance(node, (np.ndarray, np.generic)) and node.dtype.kind in "fiub"
            total += node.nbytes
            node.copy()
            tensors[name] = [list(node.shape), str(node.dtype)]
    assert total <= size + 65536, "more numbers than bytes"
    return tensors


def load(path):
    """The whole way, reader and converter: the settings and tensors of the generator."""
    from i2s.generators import load_generator

    generator = load_generator(path)
    state = generator.state_dict()
    assert all(torch.isfinite(value).all() for value in state.values()), "NaN in a generator"
    return {"class": type(generator).__name__} | {name: [list(v.shape), str(v.dtype)] for name, v in state.items()}


def read(path):
    from pathlib import Path

    return digest(read_weights(path), Path(path).stat().st_size)


def latents(path):
    from i2s.weights import read_latents

    return {"code": list(read_latents(path).shape)}


def inspect(path):
    report = inspect_file(path)
    assert str(report).isascii()
    if report.problems:
        raise WeightFileError("; ".join(report.problems))
    return {}


def unpickle(path):
    """What the reader must never do: shows that the watch would see it."""
    with open(path, "rb") as file:
        return str(pickle.load(file))


def fill_memory(path):
    return len(bytearray(LIMIT + (100 << 20)))


ACTIONS = {
    "read": read,
    "load": load,
    "inspect": inspect,
    "latents": latents,
    "unpickle": unpickle,
    "fill memory": fill_memory,
}


def timed_out(number, frame):
    raise TimeoutError


def answer(job: list) -> dict:
    global armed
    ident, path, action = job
    events.clear()
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, TIMEOUT)
    armed = True
    try:
        result = "read", ACTIONS[action](path)
    except WeightFileError as error:
        result = "refused", str(error)
    except BaseException as error:
        result = "broken", f"{type(error).__name__}: {error}"[:500]
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - started
    return {"id": ident, "outcome": result[0], "message": result[1], "seconds": seconds, "events": sorted(set(events))}


def warm_up(folder: str, actions: set) -> None:
    """Have everything imported and allocated that reading and refusing need, before anything is watched.

    Python imports the codecs of a message ("unicode_escape") when they are first used, so a file is refused as well.
    """
    from pathlib import Path

    torch.set_num_threads(1)
    refused = makers.program(makers.name("os", "system"))
    codes = io.BytesIO()
    np.savez_compressed(codes, w=np.ones((1, 2, 3)))
    others = {"archive.pt": makers.torch_zip(), "refused.pkl": refused, "codes.npz": codes.getvalue()}
    for name, data in (makers.good_files() | others).items():
        path = Path(folder) / name
        path.write_bytes(data)
        for action in actions:
            with suppress(WeightFileError):  # these describe no network
                ACTIONS[action](path)


def main() -> None:
    setup = json.loads(sys.stdin.readline())
    warm_up(setup["folder"], set(setup["actions"]))
    for good in setup["good"]:
        for action in set(setup["actions"]) - {"latents"}:  # they hold no code
            ACTIONS[action](good)
    tables = [dict(Reader(0).official), dict(Reader(0).torch)]
    sys.addaudithook(audit)
    signal.signal(signal.SIGPROF, timed_out)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, used + LIMIT))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
    after = [dict(Reader(0).official), dict(Reader(0).torch)]
    assert [list(table) for table in tables] == [list(table) for table in after]
    for value in (torch._utils._rebuild_tensor_v2, *(v for table in tables for v in table.values())):
        assert not hasattr(value, "__i2s_pwned__")


if __name__ == "__main__":
    main()
