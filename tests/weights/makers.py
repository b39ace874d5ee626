"""Weight files made here: good ones as the official repositories write them, and instructions to build bad ones.

The good ones are written by Python's own pickler from stand-in classes that bear the official names, so that the
bytes are the authentic ones. They hold random numbers and describe no network that could be run.
"""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch

MARKER = "/tmp/PWNED_i2s"  # the file that every payload here would create
COMMAND = f"touch {MARKER}"
SOURCE = f"import os; os.system({COMMAND!r})"

# ---- good files


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the official loader would execute code here")


class EasyDict(dict):
    pass


class Network:
    def __init__(self, **state):
        self.__dict__.update(state)


class Module:
    """Pickles as a module of the official torch networks does."""

    def __init__(self, class_name, **state):
        self.class_name, self.state = class_name, state

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": "", "class_name": self.class_name, "state": self.state}
        return _reconstruct_persistent_obj, (meta,)


OFFICIAL = {
    "torch_utils.persistence": _reconstruct_persistent_obj,
    "dnnlib.util": EasyDict,
    "dnnlib.tflib.network": Network,
}


@contextmanager
def official_names():
    """The stand-ins above under the names that the official files use, for as long as something is pickled."""
    added = []
    for path, thing in OFFICIAL.items():
        parts = path.split(".")
        for i in range(1, len(parts) + 1):
            name = ".".join(parts[:i])
            if name not in sys.modules:
                sys.modules[name] = types.ModuleType(name)
                added.append(name)
        setattr(sys.modules[path], thing.__name__, thing)
        thing.__module__ = path
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]
        for thing in OFFICIAL.values():
            thing.__module__ = __name__


def dump(tree, protocol=4) -> bytes:
    with official_names():
        return pickle.dumps(tree, protocol=protocol)


def official(node):
    """The objects of the official repositories that an object graph describes (`trees.py`), to be pickled."""
    if type(node).__name__ == "PersistentObject":
        return Module(node.class_name, **official(node.state))
    if type(node).__name__ == "TFNetwork":
        return Network(**official(node.state))
    if isinstance(node, dict):
        return type(node)((name, official(value)) for name, value in node.items())
    if isinstance(node, (list, tuple)):
        return type(node)(map(official, node))
    return node


def _module(class_name, parameters=None, buffers=None, modules=None, **attributes):
    return Module(
        class_name,
        training=False,
        _parameters=OrderedDict(parameters or {}),
        _buffers=OrderedDict(buffers or {}),
        _non_persistent_buffers_set=set(),
        _forward_hooks=OrderedDict(),
        _modules=OrderedDict(modules or {}),
        **attributes,
    )


def torch_tree(seed=0) -> dict:
    """A snapshot in the form of the StyleGAN2-ADA and StyleGAN3 repositories, small and with every kind of value."""
    random = torch.Generator().manual_seed(seed)

    def parameter(*shape):
        return torch.nn.Parameter(torch.randn(shape, generator=random))

    def network():
        layer = _module(
            "SynthesisLayer",
            {"weight": parameter(4, 3, 3, 3), "bias": parameter(4), "noise_strength": parameter()},
            {"noise_const": torch.randn(4, 4, generator=random), "up_filter": None},
            _init_args=(),
            _init_kwargs=EasyDict(up=2, conv_clamp=256.0, kernel=[1, 3, 3, 1], names={"one", "two"}),
            weight_gain=np.float64(0.19),
            in_size=np.array([4, 4]),
            big=1 << 40,
        )
        mapping = _module("MappingNetwork", {"weight": parameter(5, 5)}, {"w_avg": torch.randn(5, generator=random)})
        return _module("Generator", modules={"synthesis": layer, "mapping": mapping}, z_dim=5, img_resolution=4)

    options = EasyDict(class_name="training.dataset.ImageFolderDataset", max_size=None, xflip=True)
    return {"G": None, "D": None, "G_ema": network(), "training_set_kwargs": options, "augment_pipe": None}


def tensorflow_tree(seed=0) -> tuple:
    """A snapshot in the form of the TensorFlow repositories: (G, D, Gs)."""
    random = np.random.default_rng(seed)

    def network(name, shapes, components=None):
        variables = [(key, random.normal(size=shape).astype(np.float32)) for key, shape in shapes.items()]
        variables.append(("lod", np.float32(0)))
        return Network(
            version=4,
            name=name,
            static_kwargs={"resolution": 8, "func": None},
            components=components or {},
            build_module_src="",
            build_func_name="G_main",
            variables=variables,
        )

    def generator(name):
        synthesis = network("G_synthesis", {"4x4/Const/const": (1, 3, 4, 4), "noise0": (1, 1, 4, 4)})
        return network(name, {"dlatent_avg": (6,)}, {"synthesis": synthesis})

    return generator("G"), network("D", {"Output/bias": (1,)}), generator("Gs")


def state_dict(seed=0) -> dict:
    """A checkpoint in the form of the rosinality repository: what `torch.save` is given."""
    random = torch.Generator().manual_seed(seed)
    tensors = OrderedDict((f"convs.{i}.conv.weight", torch.randn(1, 3, 2, 3, 3, generator=random)) for i in range(3))
    tensors._metadata = OrderedDict({"": {"version": 1}})
    return {"g_ema": tensors, "latent_avg": torch.randn(4, generator=random)}


def torch_file(obj, legacy=False) -> bytes:
    file = io.BytesIO()
    with official_names():
        torch.save(obj, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def good_files() -> dict[str, bytes]:
    """Name -> bytes, one for each container and protocol."""
    files = {f"torch-{p}.pkl": dump(torch_tree(), p) for p in (2, 3, 4, 5)}
    files |= {f"tensorflow-{p}.pkl": dump(tensorflow_tree(), p) for p in (2, 4, 5)}
    files["checkpoint.pt"] = torch_file(state_dict())
    files["checkpoint-legacy.pt"] = torch_file(state_dict(), legacy=True)
    files["alone.pt"] = torch_file(torch_tree()["G_ema"])
    files["alone-legacy.pt"] = torch_file(torch_tree()["G_ema"], legacy=True)
    return files


# ---- instructions, for bad files


def program(*parts: bytes, protocol=4) -> bytes:
    return pickle.PROTO + bytes([protocol]) + b"".join(parts) + pickle.STOP


def text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def data(value: bytes) -> bytes:
    return pickle.BINBYTES + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return pickle.LONG1 + bytes([size]) + value.to_bytes(size, "little", signed=True)


def name(module: str, attribute: str, protocol=4) -> bytes:
    if protocol >= 4:
        return text(module) + text(attribute) + pickle.STACK_GLOBAL
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


def group(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + pickle.REDUCE


def storage(values: bytes, count=None, kind="FloatStorage", device="cpu", trailing=b"") -> bytes:
    """What `torch.storage._load_from_bytes` is given: the older container of torch.save, around one storage."""
    count = len(values) // 4 if count is None else count
    head = program(number(0x1950A86A20F9469CFC6C), protocol=2) + program(pickle.BININT2 + b"\xe9\x03", protocol=2)
    system = program(pickle.EMPTY_DICT, text("little_endian"), pickle.NEWTRUE, pickle.SETITEM, protocol=2)
    named = group(text("storage"), name("torch", kind, 2), text("7"), text(device), number(count), pickle.NONE)
    keys = program(pickle.EMPTY_LIST, text("7"), pickle.APPEND, protocol=2)
    tail = struct.pack("<q", count) + values + trailing
    return head + system + program(named, pickle.BINPERSID, protocol=2) + keys + tail


def loaded(blob: bytes) -> bytes:
    return call(name("torch.storage", "_load_from_bytes"), data(blob))


def tensor(source: bytes, offset=0, size=(2,), stride=(1,)) -> bytes:
    sizes = [group(*map(number, values)) for values in (size, stride)]
    hooks = call(name("collections", "OrderedDict"))
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, source, number(offset), *sizes, pickle.NEWFALSE, hooks)


def dtype(code: str, order="<") -> bytes:
    state = [number(3), text(order), *[pickle.NONE] * 3, number(-1), number(-1), number(0)]
    made = call(name("numpy", "dtype"), text(code), pickle.NEWFALSE, pickle.NEWTRUE)
    return made + group(*state) + pickle.BUILD


def array(code="f4", shape=(2,), values: bytes = bytes(8), first=(0,), subtype=("numpy", "ndarray")) -> bytes:
    made = call(name("numpy.core.multiarray", "_reconstruct"), name(*subtype), group(*map(number, first)), data(b"b"))
    state = [number(1), group(*map(number, shape)), dtype(code), pickle.NEWFALSE, data(values)]
    return made + group(*state) + pickle.BUILD


def persistent(class_name="Generator", version=6, kind="class", state=pickle.EMPTY_DICT) -> bytes:
    parts = {"type": text(kind), "version": number(version), "module_src": text(SOURCE)}
    parts |= {"class_name": text(class_name), "state": state}
    meta = pickle.EMPTY_DICT + b"".join(text(key) + value + pickle.SETITEM for key, value in parts.items())
    return call(name("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def zip_file(members: dict[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return file.getvalue()


def torch_zip(count=4, content=bytes(16), tree=None, method=zipfile.ZIP_STORED, **members) -> bytes:
    """The newer container of torch.save, around one tensor `{"w": ...}` or any `tree`."""
    key = group(text("storage"), name("torch", "FloatStorage", 2), text("0"), text("cpu"), number(count))
    rebuild = name("torch._utils", "_rebuild_tensor_v2", 2)
    hooks = call(name("collections", "OrderedDict", 2))
    sizes = group(number(count)), group(number(1))
    one = call(rebuild, key + pickle.BINPERSID, number(0), *sizes, pickle.NEWFALSE, hooks)
    tree = tree or pickle.EMPTY_DICT + text("w") + one + pickle.SETITEM
    files = {"archive/data.pkl": program(tree, protocol=2), "archive/byteorder": b"little", "archive/data/0": content}
    return zip_file(files | {f"archive/{key}": value for key, value in members.items()}, method)
