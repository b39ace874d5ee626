"""The restricted reader on good files: it gives what Python's own reader would, as inert data."""

import io
import json
import pickle
import zipfile

import makers
import numpy as np
import pytest
import torch

from i2s.errors import WeightFileError
from i2s.weights.file_type import sniff
from i2s.weights.inspect import inspect_file
from i2s.weights.object_graph import PersistentObject, TFNetwork
from i2s.weights.reader import Reader, read_weights

OFFICIAL = ["sg2ada-64", "sg2ada-clamp-32", "sg2ada-conv-32", "sg2ada-resnet-32", "sg2s3-32", "sg3t-64", "sg3r-32"]
OFFICIAL += ["tf-sg1-64", "tf-sg1-128", "tf-sg2-64"]


def read(data):
    """The tree of a pickle."""
    return Reader(len(data)).read(memoryview(data), "pickle")


def same(ours, theirs):
    """Assert that the tree `ours` says what the objects `theirs` say: same values, shapes, types."""
    if isinstance(theirs, makers.Module):
        assert type(ours) is PersistentObject and ours.class_name == theirs.class_name
        same(ours.state, theirs.state)
    elif isinstance(theirs, makers.Network):
        assert type(ours) is TFNetwork
        same(ours.state, vars(theirs))
    elif isinstance(theirs, dict):
        assert type(ours) is dict and list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs) and len(ours) == len(theirs)
        for one, other in zip(ours, theirs):
            same(one, other)
    elif isinstance(theirs, torch.Tensor):
        assert type(ours) is torch.Tensor and not ours.requires_grad and ours.device.type == "cpu"
        assert ours.dtype == theirs.dtype and ours.stride() == theirs.stride()
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=0, equal_nan=True)
    elif isinstance(theirs, (np.ndarray, np.generic)):
        assert type(ours) is type(theirs) and ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert type(ours) is type(theirs) and ours == theirs


class Trusting(pickle.Unpickler):
    """Python's own reader, for the fixtures whose contents we know: it keeps what we need and calls real torch."""

    def find_class(self, module, name):
        ours = {"_reconstruct_persistent_obj": self.module, "EasyDict": makers.EasyDict, "Network": makers.Network}
        if name in ours:
            return ours[name]
        if name == "_load_from_bytes":
            return lambda data: torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
        return super().find_class(module, name)

    @staticmethod
    def module(meta):
        return makers.Module(meta["class_name"], **meta["state"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OFFICIAL)
def test_official_files_are_read_as_python_reads_them(shared, name):
    path = shared / f"fixtures/dev/{name}.pkl"
    with path.open("rb") as file:
        same(read_weights(path), Trusting(file).load())


def test_a_rosinality_file_is_read_as_torch_reads_it(shared):
    path = shared / "fixtures/dev/ros-32.pt"
    same(read_weights(path), torch.load(path, weights_only=True))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_torch_pickles_of_each_protocol(protocol):
    tree = makers.torch_tree()
    same(read(makers.dump(tree, protocol)), tree)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensorflow_pickles_of_each_protocol(protocol):
    tree = makers.tensorflow_tree()
    same(read(makers.dump(tree, protocol)), tree)


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_save(tmp_path, legacy):
    tensors = {
        "float": torch.randn(3, 4),
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3).bfloat16(),
        "double": torch.randn(2).double(),
        "int64": torch.arange(3),
        "channels_last": torch.randn(1, 2, 3, 3).to(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 4).T,
        "part": torch.arange(10.0)[3:7],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    (tmp_path / "file.pt").write_bytes(makers.torch_file(tensors, legacy))
    same(read_weights(tmp_path / "file.pt"), tensors)


def test_tensors_as_large_as_official_ones(tmp_path):
    noise = torch.zeros(1, 1, 1024, 1024)  # the product of its strides is beyond 2 ** 48
    weight = torch.zeros(1, 512, 512, 3, 3, dtype=torch.uint8)
    (tmp_path / "file.pt").write_bytes(makers.torch_file({"noise": noise, "weight": weight}))
    same(read_weights(tmp_path / "file.pt"), {"noise": noise, "weight": weight})


def test_tensors_that_share_a_storage_go_on_sharing_it(tmp_path):
    whole = torch.arange(6.0)
    (tmp_path / "file.pt").write_bytes(makers.torch_file({"whole": whole, "half": whole[3:]}))
    tree = read_weights(tmp_path / "file.pt")
    assert tree["half"].data_ptr() == tree["whole"][3:].data_ptr()


def test_big_arrays_of_protocol_2_and_fortran_order():
    big = np.asfortranarray(np.arange(600_000.0).reshape(2, -1))
    tree = {"F": big, "bool": np.array([True, False]), "empty": np.zeros(0)}
    for protocol in (3, 4, 5):
        same(read(pickle.dumps(tree, protocol)), tree)
    del tree["empty"]  # protocol 2 writes no bytes as a call of `bytes`
    same(read(pickle.dumps(tree, 2)), tree)


def test_numpy_names_before_and_after_version_2():
    for core in ("numpy.core", "numpy._core"):
        made = makers.array().replace(makers.text("numpy.core.multiarray"), makers.text(f"{core}.multiarray"))
        np.testing.assert_array_equal(read(makers.program(made)), np.zeros(2, np.float32))


def test_storages_saved_on_a_gpu_come_to_the_cpu():
    blob = makers.storage(np.float32([1, 2]).tobytes(), device="cuda:0")
    tensor = read(makers.program(makers.tensor(makers.loaded(blob))))
    assert tensor.device.type == "cpu" and tensor.tolist() == [1, 2]


def test_a_storage_may_lie_in_a_zip():
    zipped = makers.torch_zip(2, bytes(8), makers.group(
        makers.text("storage"), makers.name("torch", "FloatStorage", 2), makers.text("0"), makers.text("cpu"),
        makers.number(2)) + pickle.BINPERSID)  # fmt: skip
    assert read(makers.program(makers.tensor(makers.loaded(zipped)))).tolist() == [0, 0]


def test_training_checkpoints_keep_their_settings_as_a_dict(shared):
    tree = read_weights(shared / "fixtures/evil/odd-ros-train-namespace.pt")
    assert tree["args"] == {"size": 8, "latent": 8, "n_mlp": 2}


def test_the_tree_does_not_depend_on_the_file(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(makers.dump(makers.torch_tree()))
    tree = read_weights(path)
    path.write_bytes(bytes(path.stat().st_size))
    same(tree, makers.torch_tree())


def test_the_code_in_a_module_is_dropped():
    tree = read(makers.program(makers.persistent()))
    assert vars(tree) == {"class_name": "Generator", "state": {}}


def test_shared_branches_are_read_once():
    leaf, levels = pickle.EMPTY_LIST, 40
    twice = pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.BINGET + b"\0" + pickle.TUPLE3
    tree = read(makers.program(leaf, twice * levels, pickle.TUPLE1))
    while tree:
        tree, levels = tree[0], levels - 1
    assert levels == -1


def test_containers(tmp_path):
    for name, data in makers.good_files().items():
        (tmp_path / name).write_bytes(data)
        expected = "pickle" if name.endswith(".pkl") else "torch-legacy" if "legacy" in name else "torch-zip"
        assert sniff(data[:1024]) == expected
        assert inspect_file(tmp_path / name).problems == []


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(WeightFileError, match="does not exist"):
        read_weights(tmp_path / "nothing.pkl")
    with pytest.raises(WeightFileError, match="not a file"):
        read_weights(tmp_path)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "a.pkl").write_bytes(makers.dump({})[:-1])
    with pytest.raises(WeightFileError, match=r"a.pkl cannot be used: The file is damaged .*\.$"):
        read_weights(tmp_path / "a.pkl")


def test_a_report_names_objects_and_tensors(tmp_path):
    (tmp_path / "a.pkl").write_bytes(makers.dump(makers.torch_tree()))
    report = inspect_file(tmp_path / "a.pkl")
    tensors = {tensor.name: tensor for tensor in report.tensors}
    assert ("G_ema.synthesis", "SynthesisLayer") in report.objects
    assert tensors["G_ema.synthesis.weight"].shape == (4, 3, 3, 3)
    assert tensors["G_ema.mapping.w_avg"].bytes == 20
    assert "dnnlib.util.EasyDict" in report.globals and report.refused == []
    assert "G_ema.synthesis.weight " in str(report) and "float32" in str(report)
    assert report.exit_code == 0

    (tmp_path / "b.pkl").write_bytes(makers.dump(makers.tensorflow_tree()))
    report = inspect_file(tmp_path / "b.pkl")
    assert ("2.synthesis", "Network") in report.objects
    assert "2.synthesis.4x4/Const/const" in [tensor.name for tensor in report.tensors]


def test_a_report_on_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2, 3)}, tmp_path / "a.safetensors", {"format": "i2s-generator"})
    report = inspect_file(tmp_path / "a.safetensors")
    assert report.container == "safetensors" and report.tensors[0].shape == (2, 3)
    assert "i2s-generator" in str(report)
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-4])
    assert "no valid safetensors" in inspect_file(tmp_path / "a.safetensors").problems[0]


def test_a_report_goes_on_after_what_would_be_refused(tmp_path):
    evil = makers.call(makers.name("os", "system"), makers.text(makers.COMMAND))
    tree = makers.call(makers.name("builtins", "eval"), makers.text("1"))
    whole = pickle.EMPTY_DICT + makers.text("a") + evil + pickle.SETITEM + makers.text("b") + tree + pickle.SETITEM
    weights = makers.text("w\x1b[2J\u202e") + makers.array(values=np.float32([1, np.nan]).tobytes()) + pickle.SETITEM
    (tmp_path / "a.pkl").write_bytes(makers.program(whole, weights))
    report = inspect_file(tmp_path / "a.pkl")
    assert report.refused == ["os.system", "builtins.eval"]
    assert report.exit_code == WeightFileError.exit_code
    assert report.tensors[0].name == "w\\x1b[2J\\u202e"
    assert any("NaN" in problem for problem in report.problems)
    assert str(report).isascii() and "\x1b" not in str(report)


def test_a_report_lists_so_many_names_and_no_more(tmp_path):
    calls = [makers.name("os", f"system{i}") for i in range(1000)]
    (tmp_path / "a.pkl").write_bytes(makers.program(makers.group(*calls)))
    report = inspect_file(tmp_path / "a.pkl")
    assert len(report.globals) == 200 and "more than 200 names" in report.problems[-1]


def test_a_report_on_numbers_that_torch_cannot_look_at(tmp_path):
    """Safetensors knows numbers of 4 bits; the installed torch may read them, or not."""
    header = json.dumps({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    report = inspect_file(tmp_path / "a.safetensors")
    assert report.exit_code == WeightFileError.exit_code and len(report.problems) == 1


def test_a_report_on_what_is_no_weight_file(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"<html>quota</html>")
    assert "web page" in str(inspect_file(tmp_path / "a.pkl"))
    assert "does not exist" in str(inspect_file(tmp_path / "b.pkl"))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "not one of torch.save" in str(inspect_file(tmp_path / "c.zip"))
