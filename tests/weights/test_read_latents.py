"""Codes of other tools: each common container and shape is read, what is none is named, nothing is executed."""

import io
import pickle
import struct
import zipfile

import makers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from i2s.errors import LatentError, OutputError, WeightFileError
from i2s.weights import read_latents, write_latents
from i2s.weights.inspect import inspect_file

CODE = np.random.default_rng(0).normal(size=(1, 18, 12)).astype(np.float32)
TENSOR = torch.from_numpy(CODE)


def npz(compressed=False, **arrays) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def npy(array, version=None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version)
    return file.getvalue()


def npy_header(header: str, content: bytes = bytes(8)) -> bytes:
    """A .npy with any header."""
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode("latin-1") + content


def described(descr="'<f4'", shape="(2,)", fortran="False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


READ = {
    "projected_w.npz": npz(w=CODE),
    "compressed.npz": npz(True, w=CODE),
    "dlatents.npz": npz(dlatents=CODE),
    "w among others.npz": npz(w=CODE, z=np.ones(3), cost=np.ones((), np.int64)),
    "one array of any name.npz": npz(code=CODE),
    "unnamed.npz": npz(arr_0=CODE),
    "array.npy": npy(CODE),
    "array of version 2.npy": npy(CODE, (2, 0)),
    "columns first.npy": npy(np.asfortranarray(CODE)),
    "double.npy": npy(CODE.astype(np.float64)),
    "big-endian.npy": npy(CODE.astype(">f4")),
    "tensor.pt": makers.torch_file(TENSOR),
    "tensor legacy.pt": makers.torch_file(TENSOR, legacy=True),
    "parameter.pt": makers.torch_file(torch.nn.Parameter(TENSOR)),
    "gpu.pt": makers.torch_file(TENSOR).replace(b"cpu", b"gpu"),
    "array.pt": makers.torch_file(CODE),
    "dictionary.pt": makers.torch_file({"latent": TENSOR, "noise": [torch.ones(4, 4)]}),
    "rosinality.pt": makers.torch_file({"a.png": {"img": torch.ones(3), "latent": TENSOR, "noise": [torch.ones(4)]}}),
    "array.pkl": pickle.dumps(CODE, 4),
    "tensor.pkl": pickle.dumps(TENSOR, 2),
    "dictionary.pkl": pickle.dumps({"w": CODE}, 4),
}


@pytest.mark.parametrize("case", READ)
def test_codes_of_other_tools_are_read(case, tmp_path):
    path = tmp_path / case
    content = READ[case]
    if case == "gpu.pt":  # zip checks its members, so the archive is made anew
        with zipfile.ZipFile(io.BytesIO(makers.torch_file(TENSOR))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        content = makers.zip_file({k: v.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0") for k, v in members.items()})
    path.write_bytes(content)
    code = read_latents(path)
    assert code.dtype == torch.float32 and code.is_contiguous() and not code.requires_grad
    assert torch.equal(code, TENSOR)


@pytest.mark.parametrize("shape", [(12,), (1, 12), (18, 12), (1, 18, 12), (3, 18, 12), (7, 1, 12)])
@pytest.mark.parametrize("kind", ["npz", "npy", "pt", "safetensors"])
def test_shape_is_that_of_the_file(kind, shape, tmp_path):
    code = torch.randn(shape)
    path = tmp_path / f"code.{kind}"
    if kind == "safetensors":
        save_file({"w_plus": code, "image": torch.ones(2)}, path)
    else:
        path.write_bytes(
            {"npz": lambda: npz(w=code), "npy": lambda: npy(code), "pt": lambda: makers.torch_file(code)}[kind]()
        )
    assert torch.equal(read_latents(path), code)
    path = tmp_path / "five axes.npy"
    path.write_bytes(npy(code.numpy().reshape(1, 1, *(1,) * (3 - code.ndim), *shape)))
    assert read_latents(path).ndim == 3


def test_content_and_not_the_name_says_what_a_file_is(tmp_path):
    path = tmp_path / "code.txt"
    for content in (npz(w=CODE), npy(CODE), makers.torch_file(TENSOR)):
        path.write_bytes(content)
        assert torch.equal(read_latents(path), TENSOR)


def test_half_precision_is_read(tmp_path):
    path = tmp_path / "code"
    for content in (npy(CODE.astype("f2")), makers.torch_file(TENSOR.half())):
        path.write_bytes(content)
        assert torch.equal(read_latents(path), TENSOR.half().float())


REFUSED = {
    "two arrays": (npz(a=CODE, b=CODE), "It holds a, b, but no code"),
    "z alone": (npz(z=CODE), "It holds z"),
    "empty archive": (npz(), "empty zip"),
    "several photos": (makers.torch_file({k: {"latent": TENSOR} for k in ("a", "b")}), "It holds a, b"),
    "whole numbers": (npy(CODE.astype(int)), "floating-point numbers"),
    "whole numbers of torch": (makers.torch_file(TENSOR.long()), "floating-point numbers, but the file has int64"),
    "objects": (npy(np.array({"a": CODE}, dtype=object)), "Python objects"),
    "objects inside": (npz(w=np.array([None, 1], dtype=object)), "Python objects"),
    "complex": (npy(CODE + 0j), "floating-point"),
    "one number": (npy(np.float32(3)), r"has shape \[\]"),
    "no numbers": (npy(np.zeros((0, 12), np.float32)), r"shape \[0, 12\]"),
    "a picture": (npy(np.zeros((2, 3, 8, 8), np.float32)), r"has shape \[2, 3, 8, 8\]"),
    "NaN": (npy(CODE * np.nan), "NaN or infinity"),
    "too large for float32": (npy(CODE.astype(float) * 1e300), "NaN or infinity"),
    "a generator": (makers.torch_file({"g_ema": {"a": TENSOR}}), "A dict stands"),
    "a list": (makers.torch_file([TENSOR]), "a list instead of"),
    "a text in its place": (makers.torch_file({"w": "x"}), "str stands"),
    "text": (b"some notes", "no file of a latent code"),
    "web page": (b"<html>quota</html>", "web page"),
    "empty": (b"", "empty"),
    # hostile
    "os.system": (makers.program(makers.call(makers.name("os", "system"), makers.text(makers.COMMAND))), "os.system"),
    "object array with a payload": (
        npy_header(described("'|O'", "()"), makers.program(makers.call(makers.name("os", "system")))),
        "Python objects",
    ),
    "header that is a program": (npy_header("__import__('os').system('touch /tmp/PWNED_i2s')"), "header"),
    "header nested without end": (npy_header("(" * 900), "header"),
    "long header": (npy_header(" " * 60_000), "60000 bytes"),
    "header cut": (npy_header(described())[:20], "ends early"),
    "shape of petabytes": (npy_header(described(shape="(999999999, 999999999)")), "has 8 bytes"),
    "shape of more": (npy_header(described(shape="(99999999999999999999,)")), "short tuple"),
    "many axes": (npy_header(described(shape="(" + "1, " * 64 + ")")), "short tuple"),
    "negative shape": (npy_header(described(shape="(-2,)")), "header"),
    "bytes missing": (npy(CODE)[:-1], "bytes"),
    "bytes too many": (npy(CODE) + b"x", "bytes"),
    "structured": (npy_header(described("[('a', '<f4')]")), "header"),
    "version 9": (b"\x93NUMPY\x09\0" + bytes(64), "format 9.0"),
    "deflate bomb": (
        makers.zip_file({"w.npy": npy(np.zeros(1 << 27, np.float32))}, zipfile.ZIP_DEFLATED), "compressed"),
    "bomb below the limit": (
        makers.zip_file({"w.npy": npy(np.zeros((2, 2, 2, 1 << 20), np.float32))}, zipfile.ZIP_DEFLATED), r"has shape"),
    "zip cut": (npz(w=CODE)[:-30], "directory"),
    "zip with a wrong checksum": (npz(w=CODE).replace(CODE.tobytes()[:8], bytes(8)), "checksum"),
    "deflated with a wrong sum": (npz(True, w=CODE)[:200] + b"xxxxxxxx" + npz(True, w=CODE)[208:], "checksum"),
    "zip inside": (npz()[:0] + makers.zip_file({"w.npy": npz(w=CODE)}), "no NumPy array"),
    "one array and a pickle": (makers.zip_file({"w.npy": npy(CODE), "data.pkl": b"x"}), "not one of torch.save|NumPy"),
    "torch archive, deflated": (makers.torch_zip(method=zipfile.ZIP_DEFLATED), "compressed member"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_code_is_refused_with_the_reason(case, tmp_path):
    content, reason = REFUSED[case]
    path = tmp_path / "code.npz"
    path.write_bytes(content)
    with pytest.raises(WeightFileError, match=reason) as error:
        read_latents(path)
    message = str(error.value)
    assert message.startswith(f"{path} cannot be used: ") and message.endswith(".") and "\n" not in message


def test_missing_files_are_named(tmp_path):
    with pytest.raises(WeightFileError, match="does not exist"):
        read_latents(tmp_path / "none.npz")
    with pytest.raises(WeightFileError, match="not a file"):
        read_latents(tmp_path)
    with pytest.raises(WeightFileError, match="https://x.org/w.npz is a web address: download"):
        read_latents("https://x.org/w.npz")


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("w.npz", "w.safetensors"):
        if name == "w.npz":
            write_latents(TENSOR, f"~/{name}")
        else:
            save_file({"w": TENSOR}, tmp_path / name)
        assert torch.equal(read_latents(f"~/{name}"), TENSOR)
    assert inspect_file("~/w.npz").size == (tmp_path / "w.npz").stat().st_size
    assert "web address" in inspect_file("https://x.org/w.pkl").problems[0]


@pytest.mark.parametrize("ending", [".npz", ".npy", ".pt"])
@pytest.mark.parametrize("kind", ["plain", "half", "double", "view", "gradients"])
def test_what_is_written_is_read(ending, kind, tmp_path):
    w = torch.randn(2, 18, 12)
    given = {
        "plain": w,
        "half": w.half(),
        "double": w.double(),
        "view": torch.stack([w, w])[1, :, :, :],
        "gradients": w.clone().requires_grad_(),
    }[kind]
    path = write_latents(given, tmp_path / f"w{ending}")
    assert torch.equal(read_latents(path), given.detach().float())
    # as other tools read it, which execute nothing in it either
    load = {".npz": lambda: np.load(path)["w"], ".npy": lambda: np.load(path), ".pt": lambda: torch.load(path)}[ending]
    loaded = load()
    assert loaded.shape == (2, 18, 12) and str(loaded.dtype).endswith("float32")
    assert path.stat().st_size < 2 * 18 * 12 * 4 + 2000  # of a view, its own numbers alone
    before = path.read_bytes()
    for wrong in (torch.ones(2, 3, dtype=torch.int64), torch.full((2, 3), torch.nan), [1.0], None):
        with pytest.raises(LatentError, match="finite"):
            write_latents(wrong, path)
    with pytest.raises(OutputError, match=".npz, .npy, .pt: choose one"):
        write_latents(w, tmp_path / "w.safetensors")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_default_device_of_torch_does_not_matter(tmp_path):
    """The device without memory stands in for a GPU."""
    paths = [write_latents(TENSOR, tmp_path / f"w{ending}") for ending in (".npz", ".npy", ".pt")]
    torch.set_default_device("meta")
    try:
        found = [read_latents(path) for path in paths]
    finally:
        torch.set_default_device(None)
    assert all(torch.equal(code, TENSOR) for code in found)
