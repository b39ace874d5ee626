"""Hostile, broken and odd files, made of instructions: what Python's own reader would run, this one must refuse.

`FILES`: name -> the bytes, and a pattern for what the error must say. `HARMLESS`: name -> bytes of files that are odd
but must be read, and quickly.
"""

import gzip
import io
import pickle
import struct
import zipfile

import makers
from makers import array, call, data, dtype, group, loaded, name, number, persistent, program, storage, tensor, text

SYSTEM = call(name("os", "system"), text(makers.COMMAND))
SYSTEM_2 = name("os", "system", 2) + group(text(makers.COMMAND)) + pickle.REDUCE
FLOATS = struct.pack("<2f", 1, 2)
DICT, SET, LIST = pickle.EMPTY_DICT, pickle.SETITEM, pickle.EMPTY_LIST


def build(target: bytes) -> bytes:
    """BUILD with a state for slots: setattr on `target` in Python's own reader."""
    slots = DICT + text("__i2s_pwned__") + pickle.NEWTRUE + SET
    return target + group(pickle.NONE, slots) + pickle.BUILD


def collisions(count: int) -> bytes:
    """Keys that all hash to 0: quadratic time in a dict that takes them."""
    keys = (number(k * ((1 << 61) - 1)) for k in range(1, count))
    return DICT + b"".join(key + pickle.NONE + SET for key in keys)


def bad_zip(**changes) -> bytes:
    """A zip of torch.save with bytes of its directory changed."""
    whole = bytearray(makers.torch_zip())
    entry = whole.rfind(b"PK\x01\x02")  # the last member, data/0
    for offset, value in changes.values():
        whole[entry + offset : entry + offset + len(value)] = value
    return bytes(whole)


BIG_STORED = data(storage(bytes(4 << 20))) + pickle.BINPUT + b"\1"
LOAD = name("torch.storage", "_load_from_bytes") + pickle.BINPUT + b"\2"
AGAIN = pickle.BINGET + b"\2" + pickle.BINGET + b"\1" + pickle.TUPLE1 + pickle.REDUCE
USED = pickle.BINGET + b"\2" + pickle.BINGET + b"\1" + pickle.REDUCE
REBUILD = name("torch._utils", "_rebuild_tensor_v2")
ARGUMENTS = tensor(loaded(storage(FLOATS)))[len(REBUILD) : -1]
MANY = tensor(loaded(storage(bytes(4 << 20))), size=(1 << 20,))[len(REBUILD) : -1]

FILES = {
    "os-system-protocol-0": (b"cos\nsystem\n(S'" + makers.COMMAND.encode() + b"'\ntR.", "os.system"),
    "os-system-protocol-2": (program(SYSTEM_2, protocol=2), "os.system"),
    "os-system-protocol-4": (program(SYSTEM), "os.system"),
    "eval": (program(call(name("builtins", "eval"), text("1"))), "builtins.eval"),
    "eval-of-python-2": (program(call(name("__builtin__", "eval"), text("1"))), "__builtin__.eval"),
    "os-system-beside-weights": (program(group(persistent(), SYSTEM)), "os.system"),
    "inst": (program(pickle.MARK, text("x"), pickle.INST, b"os\nsystem\n"), "instruction INST"),
    "obj": (program(pickle.MARK, name("builtins", "set"), text("x"), pickle.OBJ), "instruction OBJ"),
    "newobj-ex": (program(name("builtins", "set"), pickle.EMPTY_TUPLE, DICT, pickle.NEWOBJ_EX), "NEWOBJ_EX"),
    "extension-registry": (program(pickle.EXT1 + b"\1"), "EXT1"),
    "out-of-band-buffer": (program(pickle.NEXT_BUFFER, protocol=5), "NEXT_BUFFER"),
    "persistent-id": (program(text("x"), pickle.BINPERSID), "BINPERSID outside"),
    "persistent-id-of-protocol-0": (program(pickle.PERSID + b"x\n"), "instruction PERSID"),
    "pop": (program(pickle.NONE, pickle.NONE, pickle.POP), "instruction POP"),
    "dup": (program(pickle.NONE, pickle.DUP, pickle.TUPLE2), "instruction DUP"),
    "source-to-module": (program(call(name("torch_utils.persistence", "_src_to_module"), text("x"))), "_src_to_module"),
    "name-with-dots": (program(name("collections", "OrderedDict.fromkeys")), "OrderedDict.fromkeys"),
    "name-split-elsewhere": (
        program(call(name("torch_utils", "persistence._reconstruct_persistent_obj"), DICT)), "asks"),
    "control-characters-in-a-name": (program(name("os\x1b[2J", "system\n\u202e")), r"os\\x1b\[2J\.system\\n\\u202e"),
    "build-on-a-function": (program(build(name("torch._utils", "_rebuild_tensor_v2"))), "BUILD on _rebuild_tensor_v2"),
    "build-on-a-class": (program(build(name("dnnlib.util", "EasyDict"))), "BUILD on EasyDict"),
    "build-on-a-dict": (program(DICT, build(b"")), "BUILD on a dict"),
    "build-on-a-tensor": (program(build(tensor(loaded(storage(FLOATS))))), "BUILD on a Tensor"),
    "build-on-a-module": (program(build(persistent())), "BUILD on a PersistentObject"),
    "build-twice": (program(array() + DICT + pickle.BUILD), "BUILD"),
    "reduce-on-a-class": (program(call(name("dnnlib.util", "EasyDict"))), "calls EasyDict"),
    "reduce-on-a-result": (program(call(call(name("collections", "OrderedDict")))), "REDUCE on a dict"),
    "newobj-on-a-function": (
        program(name("torch._utils", "_rebuild_parameter"), pickle.EMPTY_TUPLE, pickle.NEWOBJ), "new"),
    "storage-name-outside-an-archive": (program(name("torch", "FloatStorage")), "torch.FloatStorage"),
    "global-as-a-value": (program(DICT, text("f"), name("builtins", "set"), SET), "stands where a value"),
    "unfinished-network": (
        program(name("dnnlib.tflib.network", "Network"), pickle.EMPTY_TUPLE, pickle.NEWOBJ), "before"),
    "network-inside-itself": (
        program(name("dnnlib.tflib.network", "Network"), pickle.EMPTY_TUPLE, pickle.NEWOBJ, pickle.MEMOIZE,
                DICT, text("self"), pickle.BINGET + b"\0", SET, pickle.BUILD), "before it is complete"),
    # containers
    "html": (b"\n <!DOCTYPE html><html>Quota exceeded</html>", "web page"),
    "xml": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git-lfs"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(32), "PNG"),
    "gzip": (gzip.compress(program(DICT)), "gzip"),
    "empty": (b"", "empty"),
    "json": (b'{"message": "Not Found"}', "no weight file"),
    "text": (b"Not Found", "no weight file that i2s reads"),
    "safetensors-in-name": ((2).to_bytes(8, "little") + b"{}" + bytes(8), "safetensors"),
    "zip-deflate-bomb": (makers.torch_zip(1 << 26, bytes(1 << 28), method=zipfile.ZIP_DEFLATED), "compressed member"),
    "zip-claims-deflate": (bad_zip(a=(10, b"\x08\0")), "compressed member"),
    "zip-deflated-pickle": (makers.torch_zip(method=zipfile.ZIP_DEFLATED), "compressed member"),
    "zip-huge-tensor": (makers.torch_zip(1 << 40), "array bytes"),
    "zip-short-storage": (makers.torch_zip(8), "8 numbers has 16 bytes"),
    "zip-wrong-sizes": (bad_zip(a=(20, struct.pack("<II", 1 << 30, 1 << 30))), "overlap|directory"),
    "zip-wrong-checksum": (makers.torch_zip(content=b"abcd" * 4).replace(b"abcd" * 4, b"abce" * 4), "checksum"),
    "zip-encrypted": (bad_zip(a=(8, b"\1\0")), "compressed member"),
    "zip-of-something-else": (makers.zip_file({"readme.txt": b"hello"}), "not one of torch.save"),
    "zip-without-directory": (makers.torch_zip()[:-40], "directory"),
    "zip-twice-a-member": (makers.torch_zip(**{"data.pk2": b"x"}).replace(b"data.pk2", b"data.pkl"), "overlap"),
    "zip-of-many-members": (makers.torch_zip() + b"PK\x01\x02" * 20_001, "more than 20000"),
    "zip-torchscript": (makers.torch_zip(**{"code/__torch__.py": b"x", "constants.pkl": b"."}), "TorchScript"),
    "zip-big-endian": (makers.torch_zip(byteorder=b"big"), "big-endian"),
    "zip-missing-storage": (makers.zip_file({"a/data.pkl": zipfile.ZipFile(
        io.BytesIO(makers.torch_zip())).read("archive/data.pkl")}), "storage 0 is missing"),
    "zip-storage-in-two-ways": (makers.torch_zip(tree=pickle.MARK + b"".join(
        group(text("storage"), name("torch", kind, 2), text("0"), text("cpu"), number(count)) + pickle.BINPERSID
        for kind, count in [("FloatStorage", 4), ("IntStorage", 4)]) + pickle.TUPLE), "two ways"),
    "zip-os-system": (makers.torch_zip(tree=SYSTEM_2), "os.system"),
    "zip-not-a-dict": (makers.torch_zip(tree=LIST), "instead of a dictionary"),
    # networks of the official repositories in archives of torch.save
    "zip-os-system-in-a-module": (
        makers.torch_zip(tree=persistent(state=DICT + text("a") + SYSTEM_2 + SET)), "os.system"),
    "zip-nested-file": (makers.torch_zip(tree=tensor(loaded(storage(FLOATS)))), "_load_from_bytes"),
    "zip-object-array": (makers.torch_zip(tree=array("O", values=b"")), "dtype 'O'"),
    "zip-of-a-set": (makers.torch_zip(tree=call(name("builtins", "set"))), "instead of a dictionary"),
    "zip-of-a-network": (makers.torch_zip(tree=name("dnnlib.tflib.network", "Network") + pickle.EMPTY_TUPLE
                                          + pickle.NEWOBJ + DICT + pickle.BUILD), "instead of a dictionary"),
    "zip-storage-as-an-array": (makers.torch_zip(tree=array().replace(data(bytes(8)), group(
        text("storage"), name("torch", "FloatStorage", 2), text("0"), text("cpu"), number(4)) + pickle.BINPERSID)),
        "made from a Storage"),
    "zip-module-inside-itself": (makers.torch_zip(tree=DICT + pickle.BINPUT + b"\1" + persistent(
        state=pickle.BINGET + b"\1")[:-1] + pickle.REDUCE), "instead|itself|left over|REDUCE"),
    "zip-build-on-a-module": (makers.torch_zip(tree=build(persistent())), "BUILD on a PersistentObject"),
    "legacy-nested-file": (storage(FLOATS)[:21] + program(DICT, text("little_endian"), pickle.NEWTRUE, SET, protocol=2)
                           + program(loaded(storage(FLOATS)), protocol=2), "_load_from_bytes"),
    "whole-object": (program(call(name("os", "Generator"), text(makers.COMMAND))), "whole Python object"),
    "whole-object-with-dots": (program(call(name("os", "system.Generator"))), "whole Python object"),
    "zip-whole-object": (makers.torch_zip(tree=call(name("models.psp", "pSp", 2))), "class models.psp.pSp"),
    "zip-of-arrays": (makers.zip_file({"w.npy": b"x"}), "NumPy arrays"),
    "zip-empty": (makers.zip_file({}), "empty zip"),
    "array-alone": (b"\x93NUMPY\1\0" + bytes(64), "NumPy array"),
    "zip-trailing-bytes": (makers.zip_file({"a/data.pkl": program(DICT) + b"x"}), "follow its end"),
    "legacy-os-system": (storage(FLOATS)[:21] + program(DICT, text("little_endian"), pickle.NEWTRUE, SET, protocol=2)
                         + program(SYSTEM_2, protocol=2), "os.system"),
    "legacy-big-endian": (storage(FLOATS).replace(pickle.NEWTRUE, pickle.NEWFALSE, 1), "big-endian"),
    # lengths
    "text-bomb": (program(pickle.BINUNICODE + struct.pack("<I", 1 << 31)), "ends early"),
    "bytes-bomb": (program(pickle.BINBYTES8 + struct.pack("<Q", 1 << 60)), "ends early"),
    "negative-length": (program(pickle.BINBYTES8 + struct.pack("<q", -1)), "ends early"),
    "bytearray-bomb": (program(pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 60), protocol=5), "ends early"),
    "frame-bomb": (program(pickle.FRAME + struct.pack("<Q", 1 << 50), pickle.NONE), "ends early"),
    "endless-name": (program(pickle.GLOBAL + b"x" * 10_000), "no end"),
    "long-name": (program(name("a" * 300, "b")), "name of 301 characters"),
    "great-number": (program(pickle.LONG1 + b"\xff" + b"\xff" * 255), "whole number of 255 bytes"),
    "greater-number": (program(pickle.LONG4 + struct.pack("<i", 4) + bytes(4)), "LONG4"),
    "wide-text": (program(text("a" * (2 << 20) + "\U0001f600")), "beyond latin-1"),
    "truncated": (program(persistent())[:-30], "ends early"),
    "without-stop": (program(DICT)[:-1], "ends early"),
    "trailing-bytes": (program(DICT) + b"x", "1 bytes follow"),
    "value-left-over": (program(pickle.NONE, pickle.NONE), "left over"),
    "group-left-open": (program(pickle.MARK, pickle.NONE), "left over"),
    "empty-pickle": (program(), "not there"),
    "protocol-6": (program(DICT, protocol=6), "protocol 6"),
    "protocol-in-the-middle": (program(pickle.PROTO + b"\4", DICT), "protocol 4 at byte 2"),
    "not-utf-8": (program(pickle.SHORT_BINUNICODE + b"\1\xff"), "not UTF-8"),
    # depth and repetition
    "deep-lists": (program(LIST * 200_000, pickle.APPEND * 199_999), "nested deeper"),
    "deep-tuples": (program(pickle.EMPTY_TUPLE, pickle.TUPLE1 * 60_000), "nested deeper"),
    "deep-marks": (program(pickle.MARK * 200_000, pickle.TUPLE * 200_000), "nested deeper"),
    "deep-modules": (program(LIST, *[
        text("state") + pickle.TUPLE2 + pickle.TUPLE1 for _ in range(20_000)]), "nested deeper"),
    "cycle": (program(LIST, pickle.MEMOIZE, pickle.BINGET + b"\0", pickle.APPEND), "contains itself"),
    "long-cycle": (program(DICT, pickle.MEMOIZE, text("a"), LIST, pickle.BINGET + b"\0", pickle.APPEND, SET), "itself"),
    "colliding-keys": (program(collisions(20_000)), "as a key"),
    "tuple-as-a-key": (program(DICT, pickle.EMPTY_TUPLE, pickle.NONE, SET), "as a key"),
    "key-twice": (program(DICT, (text("a") + pickle.NONE + SET) * 2), "comes twice"),
    "million-instructions": (program(LIST, pickle.MARK, pickle.EMPTY_SET * 9_000, pickle.APPENDS,
                                     (pickle.MARK + LIST * 9_000 + pickle.APPENDS) * 60), "more instructions"),
    "storage-read-again-and-again": (
        program(BIG_STORED, LOAD, pickle.TUPLE2, pickle.MARK, AGAIN * 500, pickle.TUPLE, pickle.TUPLE2),
        "nested bytes"),
    "set-made-again-and-again": (
        program(LIST, pickle.MARK, *[text(str(k)) for k in range(9_000)], pickle.APPENDS, pickle.BINPUT + b"\1",
                name("builtins", "set"), pickle.BINPUT + b"\2", pickle.TUPLE2, pickle.MARK, AGAIN * 9_000, pickle.TUPLE,
                pickle.TUPLE2), "more instructions"),
    "tensors-without-end": (
        program(REBUILD, pickle.BINPUT + b"\2", ARGUMENTS, pickle.BINPUT + b"\1",
                pickle.REDUCE, LIST, (USED + pickle.APPEND) * 20_000), "more arrays"),
    # tensors
    "storage-too-large": (program(tensor(loaded(storage(FLOATS, 1 << 40)))), "array bytes"),
    "storage-of-negative-size": (program(tensor(loaded(storage(FLOATS, -2)))), "without a size"),
    "storage-cut": (program(tensor(loaded(storage(FLOATS)[:-4]))), "ends early"),
    "storage-missing": (program(tensor(loaded(storage(FLOATS).replace(
        pickle.EMPTY_LIST + text("7") + pickle.APPEND, pickle.EMPTY_LIST)[:-16]))), "storage is missing"),
    "storage-of-another-size": (program(tensor(loaded(storage(FLOATS).replace(
        struct.pack("<q", 2) + FLOATS, struct.pack("<q", 1) + FLOATS)))), "not of the size"),
    "storage-with-more": (program(tensor(loaded(storage(FLOATS, trailing=b"x")))), "follow its end"),
    "storage-of-complex-numbers": (
        program(tensor(loaded(storage(FLOATS, 1, "ComplexFloatStorage")))), "ComplexFloatStorage"),
    "storage-of-quantized-numbers": (program(tensor(loaded(storage(FLOATS, 8, "QUInt8Storage")))), "QUInt8Storage"),
    "offset-out-of-bounds": (program(tensor(loaded(storage(FLOATS)), offset=1)), "beyond its storage"),
    "offset-far-out-of-bounds": (program(tensor(loaded(storage(FLOATS)), offset=1 << 62)), "beyond its storage"),
    "offset-negative": (program(tensor(loaded(storage(FLOATS)), offset=-1)), "do not fit"),
    "size-out-of-bounds": (program(tensor(loaded(storage(FLOATS)), size=(3,))), "beyond its storage"),
    "size-negative": (program(tensor(loaded(storage(FLOATS)), size=(-2,))), "tuple of sizes"),
    "size-that-overflows": (
        program(tensor(loaded(storage(FLOATS)), size=(1 << 33, 1 << 33, 0), stride=(0, 0, 1))), "claims"),
    "stride-out-of-bounds": (program(tensor(loaded(storage(FLOATS)), stride=(2,))), "beyond its storage"),
    "stride-negative": (program(tensor(loaded(storage(FLOATS)), stride=(-1,))), "tuple of sizes"),
    "stride-zero-makes-a-giant": (program(tensor(loaded(storage(FLOATS)), size=(1 << 40,), stride=(0,))), "beyond"),
    "stride-missing": (program(tensor(loaded(storage(FLOATS)), stride=())), "do not fit"),
    "many-axes": (program(tensor(loaded(storage(FLOATS)), size=(1,) * 64, stride=(1,) * 64)), "short tuple"),
    "tensor-of-a-dict": (program(tensor(DICT)), "made from a dict"),
    "tensor-with-arguments-missing": (program(call(name("torch._utils", "_rebuild_tensor_v2"))), "number of arguments"),
    "tensor-with-hooks": (
        program(call(name("torch._utils", "_rebuild_parameter"), tensor(loaded(storage(FLOATS))), pickle.NEWFALSE,
                     DICT + text("hook") + pickle.NONE + SET)), "made from a Tensor|code"),
    "tensor-with-notes": (program(tensor(loaded(storage(FLOATS))).replace(
        call(name("collections", "OrderedDict")), DICT + text("hook") + pickle.NONE + SET)), "hangs code"),
    "nested-pickle": (program(loaded(program(SYSTEM))), "hides something else"),
    "nested-zip-os-system": (program(loaded(makers.torch_zip(tree=SYSTEM_2))), "os.system"),
    "nested-legacy-os-system": (program(loaded(storage(FLOATS).replace(
        name("torch", "FloatStorage", 2), name("os", "system", 2)))), "os.system"),
    "nested-tensor": (program(loaded(makers.torch_zip())), "hides a dict"),
    "nested-text": (program(call(name("torch.storage", "_load_from_bytes"), text("x"))), "read from a str"),
    # numpy
    "object-array": (program(array("O", values=b"")), "dtype 'O'"),
    "object-array-with-a-payload": (program(array("O8", (1,), b"")[:-1], SYSTEM), "dtype 'O8'"),
    "structured-dtype": (program(array("V8")), "dtype 'V8'"),
    "text-dtype": (program(array("U1", (2,))), "dtype 'U1'"),
    "complex-dtype": (program(array("c8", (1,))), "dtype 'c8'"),
    "dtype-of-an-array": (program(call(name("numpy", "dtype"), array())), "dtype"),
    "big-endian-dtype": (program(dtype("f4", ">")), "byte order"),
    "array-of-a-subclass": (program(array(subtype=("numpy", "memmap"))), "numpy.memmap"),
    "array-of-a-builtin": (program(array(subtype=("builtins", "set"))), "class set"),
    "array-too-large": (program(array(shape=(1 << 44,))), "has 8 bytes"),
    "array-too-large-from-the-start": (program(array(first=(1 << 44,))), "reserves"),
    "array-that-overflows": (program(array(shape=(1 << 40, 1 << 40, 0), values=b"")), "claims the shape"),
    "array-of-negative-shape": (program(array(shape=(-2,))), "tuple of sizes"),
    "array-of-text": (program(array().replace(data(bytes(8)), text("12345678"))), "made from a str"),
    "scalar-of-8-bytes": (
        program(call(name("numpy.core.multiarray", "scalar"), dtype("f4"), data(bytes(8)))), "8 bytes"),
    "buffer-too-large": (program(call(name("numpy.core.numeric", "_frombuffer"), data(bytes(8)), dtype("f4"),
                                      group(number(1 << 50)), text("C")), protocol=5), "tuple of sizes"),
    # modules
    "module-version-7": (program(persistent(version=7)), "version 7"),
    "module-that-is-no-class": (program(persistent(kind="function")), "no class"),
    "module-of-a-dunder-class": (program(persistent("__builtins__")), "__builtins__"),
    "module-of-a-strange-class": (program(persistent("a b\n")), r"a b\\n"),
    "module-of-a-long-class": (program(persistent("a" * 10_000)), "class aaa"),
    "module-without-state": (program(persistent(state=pickle.NONE)), "no attributes"),
    "module-of-a-list": (
        program(call(name("torch_utils.persistence", "_reconstruct_persistent_obj"), LIST)), "described"),
    "set-of-a-text": (program(call(name("builtins", "set"), text("abc"))), "set made from a str"),
    "encode-in-another-codec": (program(call(name("_codecs", "encode"), text("x"), text("rot13"))), "encodes"),
    "encode-beyond-bytes": (program(call(name("_codecs", "encode"), text("\u0100"), text("latin1"))), "beyond 255"),
}  # fmt: skip


HARMLESS = {
    "billion-laughs": program(LIST, (pickle.BINPUT + b"\0" + pickle.MARK + (pickle.BINGET + b"\0") * 3 + pickle.TUPLE
                                     + pickle.TUPLE2) * 40),
    "wide-list-shared-widely": program(
        LIST, pickle.MARK, DICT * 9_000, pickle.APPENDS, pickle.BINPUT + b"\1", LIST,
        (pickle.MARK + (pickle.BINGET + b"\1") * 9_000 + pickle.APPENDS) * 6, pickle.TUPLE2),
    "tensors-that-share-numbers": program(
        REBUILD, pickle.BINPUT + b"\2", MANY, pickle.BINPUT + b"\1",
        pickle.REDUCE, LIST, pickle.MARK, USED * 8_000, pickle.APPENDS, pickle.TUPLE2),
    "code-in-a-module": program(persistent()),
    "module_src-of-tensorflow": program(name("dnnlib.tflib.network", "Network"), pickle.EMPTY_TUPLE, pickle.NEWOBJ,
                                        DICT, text("build_module_src"), text(makers.SOURCE),
                                        SET, pickle.BUILD),
}  # fmt: skip
