"""The command `i2s`, run as a user runs it: what it writes, what it says, and what it leaves alone."""

import importlib
import io
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_generator
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from i2s.cli import main
from i2s.embedding import TuningSettings
from i2s.embedding.result import EmbedResult
from i2s.errors import DeviceError, DownloadError, ImageError, LatentError, OutputError, SettingsError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import save_generator


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_generator(small_generator(32), tmp_path_factory.mktemp("weights") / "tiny.safetensors", half=False)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


@pytest.fixture
def command(weights, tmp_path, monkeypatch):
    """Runs `i2s` in an empty folder with the tiny generator and the slim network; morphs replace earlier ones."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(name, *arguments, generator=weights, steps=3):
        options = ["--generator", str(generator), *(["--force"] if name == "morph" else [])]
        if name in ("embed", "morph"):
            options += ["--perceptual", "slim", *(["--steps", str(steps)] if steps else [])]
        return main([name, *map(str, arguments), *options])

    run.folder = work
    run.weights = weights
    return run


def one_line(capsys) -> str:
    """What the command said of an error: one line, no traceback."""
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("i2s: ") and "Traceback" not in said[0], said
    return said[0]


def test_embed_writes_result_image_and_sheet(command, photo, capsys):
    assert command("embed", photo, "--quiet", "--video", "gif") == 0
    out = command.folder / "i2s-out"
    assert {p.name for p in out.iterdir()} == {"photo.safetensors", "photo.png", "photo.gif", "sheet.png"}
    result = EmbedResult.load(out / "photo.safetensors")
    assert result.steps == 3 and Image.open(out / "photo.png").size == (32, 32)
    said = capsys.readouterr().out
    assert "tiny" in said and "slim" in said  # which generator and which network were used


def test_photos_of_one_name_do_not_overwrite_each_other(command, photo, tmp_path):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "photo.png"
    other.write_bytes(photo.read_bytes())
    assert command("embed", photo, other, "--quiet") == 0
    assert {"photo.safetensors", "photo-2.safetensors"} <= {p.name for p in (command.folder / "i2s-out").iterdir()}


def test_results_of_another_photo_of_that_name_stay(command, photo, tmp_path):
    """Today's a/face.png and yesterday's b/face.png; the same one again replaces its own result."""
    from i2s import embed

    out = command.folder / "i2s-out"
    assert command("embed", photo, "--quiet", steps=1) == 0
    first = (out / "photo.safetensors").read_bytes()
    other = tmp_path / "b" / "photo.png"
    other.parent.mkdir()
    Image.fromarray(data.astronaut()[::-1]).save(other)
    for _ in range(2):
        assert command("embed", other, "--quiet", steps=1) == 0
    assert (out / "photo.safetensors").read_bytes() == first
    assert command("embed", photo, "--quiet") == 0
    found = {path.name for path in out.glob("*.safetensors")}
    assert found == {"photo.safetensors", "photo-2.safetensors"}
    assert EmbedResult.load(out / "photo.safetensors").steps == 3
    both = embed([photo, other], str(command.weights), perceptual="slim", steps=1, progress=False)
    both.save(out / "photo-2.safetensors")
    assert command("embed", other, "--quiet", steps=1) == 0
    assert len(EmbedResult.load(out / "photo-2.safetensors")) == 2 and (out / "photo-3.safetensors").exists()


def test_options_are_settings_and_a_preset_keeps_its_own(command, photo, monkeypatch):
    seen = []

    def record(*photos, **keywords):
        seen.append(keywords)
        raise SettingsError("enough")

    monkeypatch.setattr("i2s.embed", record)
    names = ("preset", "steps", "budget", "space", "init", "seed")

    def given():
        return {k: v for k, v in seen.pop().items() if k in names}

    command("embed", photo, steps=None)
    assert given() == {"preset": "fast"}
    command("embed", photo, "--preset", "ii2s", steps=None)
    assert given() == {"preset": "ii2s"}
    command("embed", photo, "--budget", "2.5", "--space", "z", "--init", "nearest", "--seed", "7", steps=None)
    assert given() == {"preset": "fast", "budget": 2.5, "space": "z", "init": "nearest", "seed": 7}


def test_presets_and_what_they_lack(command, photo, capsys):
    assert command("embed", photo, "--quiet", "--preset", "ii2s") == 0
    assert EmbedResult.load(command.folder / "i2s-out" / "photo.safetensors").settings.p_norm_weight == 0.001
    said = capsys.readouterr().err
    assert said == "" or (said.startswith("i2s: ") and "LPIPS" in said and "Warning" not in said)


@pytest.mark.parametrize("task", ["inpainting", "colorization", "super-resolution:16", "denoising"])
def test_tasks_and_the_size_of_the_photo(command, photo, tmp_path, task):
    Image.fromarray(data.astronaut()[:, :400]).save(photo)
    mask = Image.new("L", (400, 512), 255)
    mask.paste(0, (100, 200, 300, 300))
    mask.save(tmp_path / "mask.png")
    hides = ["--mask", tmp_path / "mask.png"] if task == "inpainting" else []
    assert command("embed", photo, "--quiet", "--task", task, "--full-size", *hides) == 0
    whole = np.asarray(Image.open(command.folder / "i2s-out" / "photo-full.png")).astype(int)
    before = np.asarray(Image.open(photo)).astype(int)
    assert whole.shape == before.shape == (512, 400, 3)
    difference = np.abs(whole - before)
    assert not difference[:56].any() and not difference[-56:].any()  # outside the central square
    assert difference[220:280, 150:250].mean() > 2
    if task == "inpainting":
        assert difference[60:180].max() <= 2 and difference[320:440].max() <= 2
    if task == "colorization":
        inside = slice(60, -60)
        light = np.abs(whole.mean(-1) - before.mean(-1))[inside]
        assert np.median(light) < 1  # but where a colour had to be clipped


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["--preset", "nix"], SettingsError),
        (["--resume"], SettingsError),
        (["--task", "inpainting"], SettingsError),
        (["--task", "super-resolution:x"], SettingsError),
        (["--mask", "none.png"], ImageError),
        (["--budget", "0"], SettingsError),
        (["--init", "encoder"], SettingsError),
        (["--init", "middle"], SettingsError),
        (["--checkpoint", "photo.png", "--resume"], LatentError),
    ],
)
def test_wrong_options_are_one_line(command, photo, capsys, arguments, kind):
    (command.folder / "photo.png").write_bytes(photo.read_bytes())
    assert command("embed", photo, "--quiet", *arguments) == kind.exit_code
    one_line(capsys)
    assert not (command.folder / "i2s-out" / "photo.safetensors").exists()


def test_checkpoint_and_resume(command, photo, monkeypatch, capsys):
    """Ctrl-C after the first checkpoint; the second run makes the steps that are left."""
    from i2s import embedding

    def interrupted(self, step, *rest):
        if step == 105:
            raise KeyboardInterrupt
        return append(self, step, *rest)

    append = embedding.History.append
    arguments = ("embed", photo, "--quiet", "--checkpoint", "run.safetensors", "--resume")
    with monkeypatch.context() as patch:
        patch.setattr(embedding.History, "append", interrupted)
        assert command(*arguments, steps=110) == 130
    assert "--resume goes on" in one_line(capsys)
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            embedding.History, "append", lambda self, step, *rest: (steps.append(step), append(self, step, *rest))
        )
        assert command(*arguments, steps=110) == 0
    assert steps == list(range(100, 111))
    assert EmbedResult.load(command.folder / "i2s-out" / "photo.safetensors").steps == 110
    assert command(*arguments, steps=111) == 0  # longer
    capsys.readouterr()
    assert command(*arguments, "--seed", "5", steps=111) == SettingsError.exit_code
    assert "seed" in one_line(capsys)


@pytest.mark.parametrize("ending", ["gif", "mp4", "png"])
def test_morph_of_two_results(command, photo, ending):
    command("embed", photo, "--quiet")
    code = command.folder / "i2s-out" / "photo.safetensors"
    assert command("morph", code, photo, "--frames", "4", "-o", f"m.{ending}") == 0
    assert (command.folder / f"m.{ending}").stat().st_size > 500


def test_info_names_what_is_used(command, capsys):
    assert command("info") == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("device", "generator", "tiny", "perceptual network", "cache"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "none.png"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.write_text("<!DOCTYPE html><html>"), "web page"),
        (lambda p: p.write_bytes(b"\x00\x01\x02" * 50), "no picture"),
        (lambda p: Image.new("RGB", (1, 1)).save(p), "1 x 1"),
    ],
    ids=["missing", "empty", "html", "noise", "one-pixel"],
)
def test_bad_photos_are_one_sentence_and_leave_earlier_results(command, photo, tmp_path, capsys, make, says):
    command("embed", photo, "--quiet")
    before = {p: p.read_bytes() for p in (command.folder / "i2s-out").iterdir()}
    capsys.readouterr()
    bad = tmp_path / "none.png"
    make(bad)
    assert command("embed", photo, bad, "--quiet") == ImageError.exit_code
    assert says in one_line(capsys)
    assert {p: p.read_bytes() for p in (command.folder / "i2s-out").iterdir()} == before


def test_debug_shows_the_traceback(photo, tmp_path):
    with pytest.raises(ImageError):
        main(["--debug", "embed", str(tmp_path / "none.png")])


def test_code_of_another_generator(command, photo, tmp_path, capsys):
    command("embed", photo, "--quiet")
    other = save_generator(small_generator(16), tmp_path / "other.safetensors", half=False)
    capsys.readouterr()
    code = command.folder / "i2s-out" / "photo.safetensors"
    assert command("morph", code, code, generator=other) == LatentError.exit_code
    assert "same --generator" in one_line(capsys)


def test_wrong_weights_and_unknown_names(command, photo, capsys):
    assert command("embed", photo, generator=photo) == WeightFileError.exit_code
    assert "photo.png" in one_line(capsys)
    assert command("embed", photo, generator="ffhq-1023") != 0
    assert "ffhq-1024" in one_line(capsys)


def test_wrong_settings(command, photo, capsys):
    assert command("morph", photo, photo, "--frames", "1") == SettingsError.exit_code
    one_line(capsys)
    assert command("morph", photo, photo, "-o", "m.avi") == OutputError.exit_code
    one_line(capsys)
    assert command("embed", photo, "--device", "cuda:99") == DeviceError.exit_code
    assert "cpu" in one_line(capsys)


def test_no_network_when_vgg16_is_asked_for(weights, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    code = main(
        ["embed", str(photo), "--generator", str(weights), "--perceptual", "vgg16", "-o", str(tmp_path / "out")]
    )
    assert code == DownloadError.exit_code
    assert "slim" in one_line(capsys)


def test_an_unwritable_place_is_said_before_the_work(command, photo, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert command("embed", photo, "-o", blocked / "out") == OutputError.exit_code
    assert "embedding" not in one_line(capsys) and blocked.read_text() == "in the way"


def test_a_full_disk_leaves_earlier_results(weights, photo, tmp_path):
    """A real limit on the size of files, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    arguments = ["embed", str(photo), "--generator", str(weights), "--perceptual", "slim", "--steps", "2", "--quiet"]
    run = [sys.executable, "-m", "i2s.cli", *arguments, "-o", str(tmp_path / "out")]
    assert subprocess.run(run, env=environment, capture_output=True).returncode == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run(run, env=environment, capture_output=True, text=True, preexec_fn=limit)
    assert full.returncode == OutputError.exit_code, full.stderr
    assert "could not be written" in full.stderr and "Traceback" not in full.stderr
    assert {p: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_control_c_saves_what_was_found(command, photo, monkeypatch, capsys):
    from i2s import embedding

    def interrupted(self, step, *rest):
        if step == 2:
            raise KeyboardInterrupt
        return append(self, step, *rest)

    append = embedding.History.append
    monkeypatch.setattr(embedding.History, "append", interrupted)
    assert command("embed", photo, "--quiet") == 130
    assert EmbedResult.load(command.folder / "i2s-out" / "photo.safetensors").stopped == "interrupted"


@pytest.mark.parametrize("arguments", [[], ["embed"], ["embed", "--steps", "many", "x"], ["dance"]])
def test_usage_errors_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_help_needs_no_torch():
    code = (
        "import sys; from i2s.cli import main\ntry: main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.endswith("False\n")


@pytest.mark.parametrize("place", [".", "folder/.."])
def test_a_photo_is_not_overwritten_by_its_embedding(command, photo, capsys, place):
    (command.folder / "folder").mkdir()
    own = command.folder / "own.png"
    own.write_bytes(photo.read_bytes())
    assert command("embed", "own.png", "--quiet", "-o", place) == OutputError.exit_code
    assert "own.png" in one_line(capsys) and own.read_bytes() == photo.read_bytes()
    assert command("embed", "own.png", "--quiet", "--checkpoint", "own.png") == OutputError.exit_code
    assert "own.png" in one_line(capsys) and own.read_bytes() == photo.read_bytes()


def test_no_result_overwrites_another(command, photo):
    for name in ("sheet.png", "a.png", "a-full.png", "A.png"):
        (command.folder / name).write_bytes(photo.read_bytes())
    names = ("sheet.png", "a.png", "a-full.png", "A.png")
    assert command("embed", *names, "--quiet", "--full-size", steps=1) == 0
    found = {p.name for p in (command.folder / "i2s-out").iterdir()}
    assert len({name.casefold() for name in found}) == 4 * 3 + 1  # of each photo code, image, full size; and the sheet
    sides = {p.name: Image.open(p).size for p in (command.folder / "i2s-out").glob("*-full.png")}
    assert list(sides.values()).count((512, 512)) == 4


def test_a_file_in_place_of_the_folder_is_named_as_it_was_given(command, photo, capsys):
    assert command("embed", photo, "-o", photo) == OutputError.exit_code
    assert ".i2s-probe" not in (said := one_line(capsys)) and "photo.png" in said


def test_a_place_for_no_checkpoint_is_said_before_the_work(command, photo, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "run.safetensors", tmp_path):
        assert command("embed", photo, "--checkpoint", place) == OutputError.exit_code
        one_line(capsys)


def test_a_seed_beyond_all_bounds_is_one_line(command, photo, capsys):
    assert command("embed", photo, "--quiet", "--seed", 10**30, "--init", "uniform") == SettingsError.exit_code
    assert "seed" in one_line(capsys)


def test_control_c_before_the_first_image_is_a_stop(command, photo, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("i2s.embedding.embed"), "initial_code", interrupted)
    assert command("embed", photo, "--quiet") == 130
    assert one_line(capsys) == "i2s: stopped."


def test_a_morph_says_what_it_leaves_out(command, photo, weights, capsys):
    from i2s import embed

    result = embed(photo, str(weights), perceptual="slim", steps=1, tuning=TuningSettings(1), progress=False)
    path = result.save(command.folder / "tuned.safetensors")
    plain = embed(photo, str(weights), perceptual="slim", steps=1, progress=False).save(
        command.folder / "p.safetensors"
    )
    assert command("morph", plain, plain, "--frames", "2", "-o", "m.png") == 0
    assert not capsys.readouterr().err
    assert command("morph", plain, path, "--frames", "2", "-o", "m.png") == 0
    assert "tuned.safetensors" in one_line(capsys)


def test_a_full_memory_is_said_as_such(command, photo, monkeypatch, capsys):
    def needs_all(*_):
        return torch.empty(2**60)

    monkeypatch.setattr(importlib.import_module("i2s.embedding.embed"), "initial_code", needs_all)
    assert command("embed", photo, "--quiet") != 0
    assert "memory is full" in one_line(capsys)


def test_an_embedding_whose_disk_is_full_is_not_lost(command, photo, capsys, monkeypatch, tmp_path):
    """The disk fills up during the search: there was room for the trial before it."""
    from i2s.embedding import result as results

    write, safe = results.write_safetensors, tmp_path / "safe"

    def full(path, *content):
        if safe not in Path(path).parents:
            raise OutputError(f"{path} cannot be written (No space left on device): make room.")
        return write(path, *content)

    monkeypatch.setattr(results, "write_safetensors", full)
    monkeypatch.setattr("tempfile.tempdir", str(safe))
    assert command("embed", photo, "--quiet") == OutputError.exit_code
    said = one_line(capsys)
    (file,) = safe.iterdir()
    assert "No space left" in said and said.endswith(f"What was found is in {file}.")
    assert len(EmbedResult.load(file)) == 1


def test_where_nothing_can_be_written_the_first_error_stands(command, photo, capsys, monkeypatch):
    def full(path, *content):
        raise OutputError(f"{path} cannot be written (No space left on device): make room, or choose another place.")

    monkeypatch.setattr("i2s.embedding.result.write_safetensors", full)
    assert command("embed", photo, "--quiet") == OutputError.exit_code
    said = one_line(capsys)
    assert "photo.safetensors cannot be written" in said and "What was found" not in said


def test_morph_says_when_a_code_is_of_another_generator(command, photo, capsys, tmp_path):
    assert command("embed", photo, "--quiet") == 0
    other = save_generator(small_generator(32), tmp_path / "other.safetensors", half=False)
    code = command.folder / "i2s-out" / "photo.safetensors"
    capsys.readouterr()
    assert command("morph", code, code, "-o", "strip.png", generator=other) == 0
    assert "photo.safetensors is a code of another generator, tiny (" in capsys.readouterr().err
    assert command("morph", code, code, "-o", "strip.png") == 0
    assert capsys.readouterr().err == ""


# ---- nothing is lost -------------------------------------------------------------------------------------------------


@pytest.fixture
def codes(command, photo):
    """A file of one code, and one of two, in the folder of `command`."""
    from i2s import embed

    result = embed([photo, photo], str(command.weights), perceptual="slim", steps=1, progress=False)
    result.select(0).save(command.folder / "one.safetensors")
    result.save(command.folder / "two.safetensors")
    return "one.safetensors", "two.safetensors"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def unused(monkeypatch):
    """Fails if anything is embedded: what is wrong is said before the work."""

    def embed(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("i2s.embed", embed)


@pytest.mark.parametrize("out", ["own.png", "folder/../own.png", "link.png"])
@pytest.mark.parametrize("place", ["first", "second", "pattern"])
def test_morph_does_not_overwrite_what_it_reads(command, photo, codes, capsys, unused, out, place):
    (command.folder / "folder").mkdir()
    own = command.folder / "own.png"
    own.write_bytes(photo.read_bytes())
    (command.folder / "link.png").symlink_to(own)
    before = contents(command.folder)
    given = {"first": ["own.png", codes[0]], "second": [codes[0], "own.png"], "pattern": [codes[0], "o*n.png"]}[place]
    assert command("morph", *given, "-o", out) == OutputError.exit_code
    assert "own.png would be overwritten" in one_line(capsys) and contents(command.folder) == before


def test_results_do_not_replace_the_generator(command, photo, weights, capsys, unused):
    own = command.folder / "photo.safetensors"
    own.write_bytes(weights.read_bytes())
    assert command("embed", photo, "-o", ".", generator=own) == OutputError.exit_code
    assert "photo.safetensors would be overwritten" in one_line(capsys)
    assert command("embed", photo, "-o", ".") == OutputError.exit_code  # a generator that is not in use
    assert "photo.safetensors exists" in one_line(capsys) and own.read_bytes() == weights.read_bytes()


@pytest.mark.parametrize("name", ["photo.png", "photo-full.png", "photo.gif", "sheet.png"])
def test_results_do_not_replace_pictures_of_the_user(command, photo, capsys, name):
    own = command.folder / "out" / name
    own.parent.mkdir()
    own.write_bytes(b"of the user")
    arguments = ("embed", photo, "--quiet", "--full-size", "--video", "gif")
    assert command(*arguments, "-o", "out") == OutputError.exit_code
    assert f"{name} exists" in one_line(capsys) and own.read_bytes() == b"of the user"
    assert command(*arguments) == command(*arguments) == 0  # but they replace earlier results


@pytest.mark.parametrize("kind", ["result", "generator", "picture", "text", "other ending", "later result"])
def test_a_checkpoint_replaces_no_other_file(command, photo, weights, codes, capsys, unused, kind):
    names = {
        "result": codes[0],
        "picture": "p.png",
        "other ending": "run.npz",
        "later result": "i2s-out/photo.safetensors",
    }
    path = command.folder / names.get(kind, "c.safetensors")
    made = {"generator": weights.read_bytes(), "picture": photo.read_bytes(), "text": b"text"}
    if kind in made:
        path.write_bytes(made[kind])
    before = contents(command.folder)
    assert command("embed", photo, "--quiet", "--checkpoint", path) == OutputError.exit_code
    assert path.name in one_line(capsys) and contents(command.folder) == before


NEW = ["m.gif", "m.mp4", "m.png", "g.safetensors", "w.npz", "w.npy", "w.pt"]  # of morph, and of convert


@pytest.mark.parametrize("out", NEW)
@pytest.mark.parametrize("content", ["of the user", "its own"])
def test_morph_and_convert_replace_a_file_only_with_force(command, weights, codes, capsys, out, content):
    run = ["morph", *codes, "--frames", "2", "--generator", str(weights), "-o", out]
    if not out.startswith("m."):
        run = ["convert", str(weights) if out == "g.safetensors" else codes[1], out]
    assert main(run) == 0
    if content == "of the user" and out != "g.safetensors":
        Path(out).write_bytes(b"of the user")
    before = Path(out).read_bytes()
    capsys.readouterr()
    assert main(run) == OutputError.exit_code
    assert one_line(capsys) == f"i2s: {out} exists: choose another name, or add --force to replace it."
    assert Path(out).read_bytes() == before
    assert main([*run, "--force"]) == 0 and Path(out).read_bytes() != b"of the user"
    Path(out).write_bytes(b"")  # as mktemp leaves it
    assert main(run) == 0 and Path(out).read_bytes()


def test_force_replaces_no_input(command, photo, codes, capsys, unused):
    np.save("w.npy", np.ones((8, 12), np.float32))
    own = command.folder / "own.png"
    own.write_bytes(photo.read_bytes())
    before = contents(command.folder)
    assert command("morph", "own.png", codes[0], "-o", "own.png") == OutputError.exit_code
    assert main(["convert", "w.npy", "../work/w.npy", "--force"]) == OutputError.exit_code
    assert contents(command.folder) == before


def test_convert_replaces_only_generators(weights, codes, command, capsys):
    before = contents(command.folder)
    assert main(["convert", str(weights), codes[0]]) == OutputError.exit_code
    assert "one.safetensors exists" in one_line(capsys) and contents(command.folder) == before
    assert main(["convert", str(weights), codes[0], "--force"]) == OutputError.exit_code


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["-o", "file/m.gif"], OutputError),
        (["-o", "folder.gif"], OutputError),
        (["-o", "x" * 300 + ".gif"], OutputError),
        (["-o", "https://example.com/m.gif"], OutputError),
        (["-o", "m.gif", "--fps", "1000"], SettingsError),
        (["-o", "m.mp4", "--fps", "0"], SettingsError),
    ],
)
def test_morph_says_before_the_work_what_it_cannot_write(command, photo, capsys, unused, arguments, kind):
    (command.folder / "file").write_text("in the way")
    (command.folder / "folder.gif").mkdir()
    assert command("morph", photo, photo, *arguments) == kind.exit_code
    one_line(capsys)


@pytest.mark.parametrize(
    "error", [OutputError("m.gif could not be written."), KeyboardInterrupt(), RuntimeError("odd")]
)
def test_codes_of_a_morph_that_fails_are_kept(command, photo, capsys, monkeypatch, tmp_path, error):
    def write(*_, **__):
        raise error

    monkeypatch.setattr("i2s.figures.write_video", write)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "safe"))
    assert command("morph", photo, photo) != 0
    (file,) = (tmp_path / "safe").iterdir()
    assert f"What was found is in {file}." in capsys.readouterr().err and len(EmbedResult.load(file)) == 2


def test_control_c_in_a_morph_ends_it_and_keeps_the_codes(command, photo, capsys, monkeypatch, tmp_path):
    from i2s import embedding

    def interrupted(self, step, *rest):
        if step == 2:
            raise KeyboardInterrupt
        return append(self, step, *rest)

    append = embedding.History.append
    monkeypatch.setattr(embedding.History, "append", interrupted)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "safe"))
    assert command("morph", photo, photo) == 130
    (file,) = (tmp_path / "safe").iterdir()
    assert EmbedResult.load(file).interrupted and not (command.folder / "morph.gif").exists()


def test_codes_are_written_before_what_can_fail(command, photo, monkeypatch):
    def write_image(*_):
        raise RuntimeError("odd")

    monkeypatch.setattr("i2s.images.write_image", write_image)
    other = command.folder / "other.png"
    other.write_bytes(photo.read_bytes())
    assert command("embed", photo, other, "--quiet") == 1
    assert {path.name for path in (command.folder / "i2s-out").iterdir()} == {"photo.safetensors", "other.safetensors"}


def start(weights, photo, out, *arguments, **keywords) -> subprocess.Popen:
    """Start `python -m i2s embed` in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"} | keywords.pop("env", {})
    run = [sys.executable, "-m", "i2s", "embed", *map(str, photo if isinstance(photo, list) else [photo])]
    run += ["--generator", str(weights), "--perceptual", "slim", "-o", str(out), *map(str, arguments)]
    return subprocess.Popen(run, env=environment, stderr=subprocess.PIPE, text=True, **keywords)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_end_the_search_and_save_it(weights, photo, tmp_path, name):
    number = getattr(signal, name)
    checkpoint = tmp_path / "c.safetensors"
    process = start(weights, photo, tmp_path / "out", "--steps", "100000", "--quiet", "--checkpoint", checkpoint)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number, said
    assert EmbedResult.load(tmp_path / "out" / "photo.safetensors").interrupted and "what was found is saved" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("where", ["closed pipe", "closed", "full", "cp1252", "ascii", "pipe of the progress bar"])
def test_results_are_written_whatever_becomes_of_the_streams(weights, photo, tmp_path, where):
    photos = [tmp_path / name for name in ("写真.png", "b.png")]
    for path in photos:
        path.write_bytes(photo.read_bytes())
    reading, writing = os.pipe()
    keywords = {"stdout": writing}
    if where == "full":
        keywords["stdout"] = open("/dev/full", "w")  # noqa: SIM115
    if where == "closed":
        keywords["preexec_fn"] = lambda: os.close(1)
    if where in ("cp1252", "ascii"):
        keywords["env"] = {"PYTHONIOENCODING": where}
    process = start(weights, photos, tmp_path / "out", "--steps", "2", **keywords)
    if where == "pipe of the progress bar":
        process.stderr.close()
    os.close(writing)
    if where in ("cp1252", "ascii"):
        said = os.fdopen(reading, "rb").read()
        assert b"\\u5199\\u771f.safetensors" in said and b"sheet.png" in said
    else:
        os.close(reading)
    process.wait(timeout=60)
    broken = where in ("closed pipe", "pipe of the progress bar")
    assert process.returncode == (141 if broken else OutputError.exit_code if where == "full" else 0)
    expected = {"写真.safetensors", "写真.png", "b.safetensors", "b.png", "sheet.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected


WINDOWS = """
import os, signal, sys, torch
import i2s.embedding
for name in ("fork", "sysconf", "geteuid", "getuid", "uname"):
    delattr(os, name)
del signal.SIGHUP, signal.pause
sys.modules.update(resource=None, fcntl=None, pwd=None, grp=None)
sys.argv[0] = "i2s"
from i2s.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="this system lacks them anyway")
def test_what_windows_lacks_is_not_needed(weights, photo, tmp_path):
    """Neither fork nor HUP nor the modules of POSIX, and a console of code page 1252."""
    given = tmp_path / "写真.png"
    given.write_bytes(photo.read_bytes())
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "cp1252"}
    options = ["--generator", str(weights), "--perceptual", "slim", "--steps", "2", "--video", "gif"]
    run = [sys.executable, "-c", WINDOWS, "embed", str(given), "-o", str(tmp_path / "out"), *options]
    done = subprocess.run(run, env=environment, capture_output=True)
    assert done.returncode == 0 and b"\\u5199\\u771f.safetensors" in done.stdout, done.stderr
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".safetensors", ".png", ".gif"}


def test_a_report_that_could_not_be_written_is_no_success(weights, tmp_path):
    """Of `inspect`, `info` and `generators` the output is all there is."""
    run = [sys.executable, "-m", "i2s", "inspect", str(weights)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with open("/dev/full", "w") as full:
        done = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == OutputError.exit_code and "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ---- ordinary surroundings -------------------------------------------------------------------------------------------


def test_processes_that_start_at_once_do_not_disturb_each_other(tmp_path):
    """Of 800 starts under stress 117 had failed."""
    code = "import sys; from i2s.files import check_folder\nfor _ in range(100): check_folder(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    run = [sys.executable, "-c", code, str(tmp_path / "new" / "out")]
    processes = [subprocess.Popen(run, env=environment, stderr=subprocess.PIPE) for _ in range(6)]
    assert [process.communicate()[1] for process in processes] == [b""] * 6
    assert not list((tmp_path / "new" / "out").iterdir())


@pytest.mark.parametrize("stem", ["x" * 248, "写" * 82, "é" * 120, "x" * 200 + "🙂" * 11])
def test_long_names_are_shortened(command, photo, tmp_path, stem):
    given = tmp_path / f"{stem}.png"
    other = tmp_path / f"{stem[:-1]}y.png"
    for path in (given, other):
        path.write_bytes(photo.read_bytes())
    assert command("embed", given, other, "--quiet", "--full-size", "--video", "gif", steps=1) == 0
    names = [path.name for path in (command.folder / "i2s-out").iterdir()]
    assert len(names) == 2 * 4 + 1 and sum(name.startswith(stem[:50]) for name in names) == 8


@pytest.mark.parametrize("address", ["https://example.com/a.jpg", "HTTP://example.com/a", "s3://bucket/a.jpg"])
@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["embed", "ADDRESS"], ImageError),
        (["embed", "PHOTO", "ADDRESS"], ImageError),
        (["embed", "PHOTO", "--mask", "ADDRESS"], ImageError),
        (["embed", "PHOTO", "-o", "ADDRESS"], OutputError),
        (["embed", "PHOTO", "--checkpoint", "ADDRESS"], OutputError),
        (["embed", "PHOTO", "--generator", "ADDRESS"], WeightFileError),
        (["morph", "PHOTO", "ADDRESS"], LatentError),
        (["morph", "PHOTO", "PHOTO", "-o", "ADDRESS.gif"], OutputError),
        (["info", "--generator", "ADDRESS"], WeightFileError),
        (["inspect", "ADDRESS"], WeightFileError),
        (["convert", "ADDRESS", "x.safetensors"], WeightFileError),
        (["convert", "PHOTO", "ADDRESS.safetensors"], OutputError),
    ],
)
def test_web_addresses_are_named_as_such(command, photo, capsys, unused, address, arguments, kind):
    given = [argument.replace("ADDRESS", address).replace("PHOTO", str(photo)) for argument in arguments]
    assert main(given) == kind.exit_code
    assert f"{address.rstrip()}" in (said := one_line(capsys)) and "is a web address" in said
    assert not list(command.folder.iterdir())


def test_patterns_that_no_shell_expanded(command, photo, capsys):
    for name in ("b.png", "a.png", "[c].png", "note.txt"):
        (command.folder / name).write_bytes(photo.read_bytes())
    (command.folder / "d.png").mkdir()
    assert command("embed", "?.png", "--quiet", steps=1) == 0
    said = capsys.readouterr().out
    assert said.index("a.safetensors") < said.index("b.safetensors") and "d.safetensors" not in said
    assert command("embed", "[c].png", "--quiet", "-o", "c", steps=1) == 0  # the name of a file
    assert (command.folder / "c" / "[c].safetensors").exists()
    assert command("embed", "z*.png", "--quiet") == ImageError.exit_code
    assert "No file fits the pattern z*.png" in capsys.readouterr().err
    assert command("morph", "i2s-out/*.safetensors", "--frames", "2") == 0


def test_folders_stand_for_their_photos(command, photo, capsys):
    folder = command.folder / "photos"
    (folder / "below").mkdir(parents=True)
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "note.txt", "below/c.png"):
        (folder / name).write_bytes(photo.read_bytes())
    assert command("embed", folder, "--quiet", steps=1) == 0
    assert {p.stem for p in (command.folder / "i2s-out").glob("*.safetensors")} == {"a", "b"}
    (command.folder / "empty").mkdir()
    capsys.readouterr()
    assert command("embed", "empty", "--quiet") == ImageError.exit_code
    assert "empty is a folder without photos" in one_line(capsys)


def test_standard_input_is_a_photo(command, photo, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    assert command("embed", "-", photo, "--quiet", "--full-size", steps=1) == 0
    assert Image.open(command.folder / "i2s-out" / "stdin-full.png").size == (512, 512)
    capsys.readouterr()
    assert command("embed", "-", "-") == SettingsError.exit_code
    one_line(capsys)
    for empty in (io.TextIOWrapper(io.BytesIO()), None):
        monkeypatch.setattr("sys.stdin", empty)
        assert command("embed", "-") == ImageError.exit_code
        one_line(capsys)
        assert command("morph", "-", photo) == ImageError.exit_code
        one_line(capsys)


def test_standard_input_is_a_photo_of_a_morph(command, photo, codes, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    assert command("morph", codes[0], "-", "--frames", "3") == 0 and frames_of(Path("morph.gif")) == 4
    capsys.readouterr()
    assert command("morph", "-", "-") == SettingsError.exit_code
    assert "only once" in one_line(capsys)


def test_home_is_expanded_wherever_a_path_is_taken(command, photo, weights, tmp_path, monkeypatch, capsys):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    (home / "p.png").write_bytes(photo.read_bytes())
    Image.new("L", (512, 512), 255).save(home / "mask.jpg")
    (home / "g.safetensors").write_bytes(weights.read_bytes())
    arguments = ["--mask", "~/mask.jpg", "--checkpoint=~/c/run.safetensors", "--out=~/x", "--full-size"]
    assert command("embed", "~/p.png", "--quiet", *arguments, generator="~/g.safetensors", steps=100) == 0
    assert {path.name for path in (home / "c").iterdir()} == {"run.safetensors"}
    assert command("morph", "~/x/p.safetensors", "~/p.png", "--frames", "2", "--out=~/m.gif") == 0
    assert command("embed", "~/*.png", "--quiet", "--out=~/y", steps=1) == 0
    assert main(["inspect", "~/g.safetensors"]) == main(["convert", "~/g.safetensors", "~/h.safetensors"]) == 0
    assert {"x", "y", "c", "m.gif", "h.safetensors"} <= {path.name for path in home.iterdir()}
    assert not list(command.folder.iterdir())
    capsys.readouterr()
    assert command("embed", photo, "--out=~nobody-of-this-name/x") == OutputError.exit_code
    one_line(capsys)


def test_results_of_processes_at_once_are_no_files_of_the_user(command, photo, codes, monkeypatch):
    """One that writes the same results just while another looks what is there."""
    out = command.folder / "i2s-out"
    glob = Path.glob

    def first(self, pattern):
        found = list(glob(self, pattern))
        (out / "photo.safetensors").write_bytes((command.folder / codes[0]).read_bytes())
        (out / "photo.png").write_bytes(photo.read_bytes())
        return found

    monkeypatch.setattr(Path, "glob", first)
    assert command("embed", photo, "--quiet", steps=1) == 0


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize("command_name", ["embed", "morph"])
@pytest.mark.parametrize("moment", ["in a step", "result", "describe_networks"])
def test_a_signal_at_any_moment_loses_nothing(command, photo, monkeypatch, capsys, tmp_path, command_name, moment):
    """Within a step it would leave a code with the image of another; afterwards nobody would have the result."""
    from i2s import embedding

    module = importlib.import_module("i2s.embedding.embed")
    owner, name = (module, moment) if moment == "describe_networks" else (embedding.History, moment)
    owner, name = (embedding.History, "_add_terms") if moment == "in a step" else (owner, name)
    plain = getattr(owner, name)

    def signalled(*arguments):
        value = plain(*arguments)
        if moment != "in a step" or arguments[1] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        return value

    monkeypatch.setattr(owner, name, signalled)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "safe"))
    assert command(command_name, photo, *([photo] if command_name == "morph" else ["--quiet"])) == 143
    folder = command.folder / "i2s-out" if command_name == "embed" else tmp_path / "safe"
    (file,) = folder.glob("*.safetensors")
    result = EmbedResult.load(file)
    assert result.interrupted == (moment == "in a step") and result.steps == (2 if result.interrupted else 3)
    drawn = result.render(load_generator(command.weights))
    torch.testing.assert_close(drawn, result.image, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_signal_before_the_command_has_begun_is_a_stop(photo, capsys, monkeypatch):
    plain = importlib.import_module("i2s.cli").parser

    def signalled():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        return plain()

    monkeypatch.setattr("i2s.cli.parser", signalled)
    assert main(["embed", str(photo)]) == 143
    assert one_line(capsys) == "i2s: stopped."


@pytest.mark.parametrize("where", ["home", "here", "nowhere"])
def test_codes_find_a_place_without_a_temporary_folder(command, photo, capsys, monkeypatch, tmp_path, where):
    def none():
        raise FileNotFoundError("No usable temporary directory")

    def fails(*_):
        raise OutputError("photo.png could not be written.")

    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.gettempdir", none)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / ("home" if where == "home" else "file"))
    monkeypatch.setattr("i2s.images.write_image", fails)
    if where == "nowhere":
        monkeypatch.setattr(Path, "cwd", none)
    assert command("embed", photo, "--quiet") == OutputError.exit_code
    said = one_line(capsys)
    folder = {"home": tmp_path / "home", "here": command.folder}.get(where)
    assert said.startswith("i2s: photo.png could not be written.") and ("What was found" in said) == (
        folder is not None
    )
    assert folder is None or len(EmbedResult.load(next(folder.glob("*.safetensors")))) == 1


# ---- codes -----------------------------------------------------------------------------------------------------------


def frames_of(path: Path) -> int:
    with Image.open(path) as image:
        return image.n_frames


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (["one.safetensors", "one.safetensors"], 2),
        (["one.safetensors"] * 3, 3),
        (["two.safetensors"], 2),
        (["two.safetensors", "one.safetensors"], 3),
        (["two.safetensors#2", "one.safetensors"], 2),
        (["two.safetensors#1", "two.safetensors#2", "PHOTO", "two.safetensors"], 5),
        (["t*.safetensors#2", "*.safetensors"], 4),
    ],
)
def test_morph_goes_through_all_codes(command, photo, codes, monkeypatch, given, count):
    from i2s import edits

    seen = []
    through = edits.morph_through
    monkeypatch.setattr(edits, "morph_through", lambda codes, frames: seen.append(codes) or through(codes, frames))
    assert command("morph", *(photo if name == "PHOTO" else name for name in given), "--frames", "3") == 0
    assert len(seen[0]) == count and all(w.shape == (8, 12) for w in seen[0])
    if given[0].endswith("#2"):
        assert torch.equal(seen[0][0], EmbedResult.load("two.safetensors").w_plus[1])


def test_morph_says_that_a_file_has_several_codes(command, codes, capsys):
    assert command("morph", *codes, "--frames", "2") == 0
    said = one_line(capsys)
    assert "two.safetensors holds 2 codes" in said and "two.safetensors#1" in said
    for name in ("two.safetensors#3", "two.safetensors#0"):
        assert command("morph", name, codes[0]) == LatentError.exit_code
        assert "has no code" in one_line(capsys)


def test_morph_of_a_single_code_is_refused(command, photo, codes, capsys, unused):
    for given in (codes[0], photo):
        assert command("morph", given) == SettingsError.exit_code
        assert "two codes" in one_line(capsys)


def test_python_m_runs_the_command(tmp_path):
    run = [sys.executable, "-m", "i2s", "--version"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    assert subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path).stdout.startswith("i2s ")


OTHER_TOOLS = {  # what they write: shape -> number of codes, for a generator of 8 rows of 12
    (12,): 1, (1, 12): 1, (3, 12): 3, (8, 12): 1, (1, 8, 12): 1, (2, 8, 12): 2, (2, 1, 12): 2, (1, 1, 8, 12): 1,
}  # fmt: skip


@pytest.mark.parametrize("ending", [".npz", ".npy", ".pt", ".PT"])
@pytest.mark.parametrize("shape", OTHER_TOOLS, ids=str)
def test_morph_reads_codes_of_other_tools(command, codes, capsys, ending, shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    path = command.folder / f"projected_w{ending}"
    save = {".npz": lambda: np.savez(path, w=w.numpy()), ".npy": lambda: np.save(path, w.numpy())}
    save.get(ending, lambda: torch.save(w, path))()
    assert command("morph", path, codes[0], "--frames", "2") == 0
    assert ("codes, which all take part" in capsys.readouterr().err) == (OTHER_TOOLS[shape] > 1)
    assert command("morph", f"{path}#{OTHER_TOOLS[shape]}", codes[0], "--frames", "2") == 0
    assert command("morph", f"{path}#{OTHER_TOOLS[shape] + 1}", codes[0]) == LatentError.exit_code


def test_codes_of_another_size_are_one_line(command, codes, capsys):
    np.savez(command.folder / "big.npz", w=np.zeros((1, 18, 512), np.float32))
    assert command("morph", "big.npz", codes[0]) == LatentError.exit_code
    assert "big.npz holds a code of shape [18, 512]" in one_line(capsys)


def test_start_is_a_code_of_a_file(command, photo, codes, capsys):
    w_plus = EmbedResult.load(codes[0]).w_plus
    np.savez("w.npz", w=w_plus.numpy())
    for name in (codes[0], "w.npz"):
        assert command("embed", photo, "--quiet", "--start", name, "--preset", "image2stylegan", steps=1) == 0
        result = EmbedResult.load(command.folder / "i2s-out" / "photo.safetensors")
        assert torch.equal(result.snapshots[0], w_plus)
    capsys.readouterr()
    assert command("embed", photo, "--quiet", "--start", "none.npz") == WeightFileError.exit_code
    one_line(capsys)
    assert command("embed", photo, "--quiet", "--start", codes[0], "-o", ".") == 0  # photo.safetensors, not one
    assert command("embed", photo, "--quiet", "--start", "photo.safetensors", "-o", ".") == OutputError.exit_code


def test_embed_refuses_a_mask_of_other_proportions_before_the_work(command, photo, tmp_path):
    Image.new("L", (60, 40), 255).save(tmp_path / "mask.png")
    assert command("embed", photo, "--mask", tmp_path / "mask.png", "--out", tmp_path / "out") == ImageError.exit_code
    assert not list((tmp_path / "out").glob("*.safetensors"))


@pytest.mark.parametrize("ending", [".npz", ".npy", ".pt", ".NPZ"])
def test_codes_are_written_for_other_tools(command, codes, capsys, ending):
    w_plus = EmbedResult.load(codes[1]).w_plus
    assert main(["convert", codes[1], f"w{ending}"]) == 0
    assert f"w{ending}  w [2, 8, 12]" in capsys.readouterr().out
    assert main(["convert", f"{codes[1]}#2", f"second{ending}"]) == 0
    load = {".npy": np.load, ".pt": torch.load}.get(ending, lambda path: np.load(path)["w"])
    assert torch.equal(torch.as_tensor(load(f"w{ending}")), w_plus)
    assert torch.equal(torch.as_tensor(load(f"second{ending}")), w_plus[1:])
    assert command("morph", f"w{ending}", f"second{ending}", "--frames", "2") == 0
    assert main(["convert", f"w{ending}", "again.npy"]) == 0  # of another tool, too
    assert np.array_equal(np.load("again.npy"), w_plus.numpy())


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (["one.safetensors", "w.csv"], OutputError, "w.csv"),
        (["one.safetensors", "w.pkl"], OutputError, "w.pkl"),
        (["one.safetensors#2", "w.npz"], LatentError, "has no code 2"),
        (["*.safetensors", "w.npz"], LatentError, "does not name one file"),
        (["none.safetensors", "w.npz"], WeightFileError, "does not exist"),
        (["g.safetensors", "w.npz"], WeightFileError, "no code of a known name"),
        (["p.png", "w.npz"], WeightFileError, "PNG"),
        (["one.safetensors", "w.npz", "--half"], SettingsError, "--half"),
        (["one.safetensors", "w.npz", "--class", "1"], SettingsError, "--class"),
        (["one.safetensors", "folder.npz"], OutputError, "is a folder"),
        (["one.safetensors", "p.png/w.npz"], OutputError, "could not be written"),
    ],
)
def test_what_is_no_code_or_place_for_one_is_said(command, photo, weights, codes, capsys, arguments, kind, says):
    (command.folder / "g.safetensors").write_bytes(weights.read_bytes())
    (command.folder / "p.png").write_bytes(photo.read_bytes())
    (command.folder / "folder.npz").mkdir()
    before = contents(command.folder)
    assert main(["convert", *arguments]) == kind.exit_code
    assert says in one_line(capsys) and contents(command.folder) == before


def test_code_of_another_tool_in_safetensors(command, codes, capsys):
    save_file({"w": torch.zeros(1, 8, 12)}, "w.safetensors")
    assert command("morph", "w.safetensors", codes[0], "--frames", "2") == 0
    Path("bad.safetensors").write_bytes(b"not one")
    capsys.readouterr()
    assert command("morph", "bad.safetensors", codes[0]) == LatentError.exit_code
    assert "bad.safetensors is broken" in one_line(capsys)


@pytest.mark.parametrize("ending", [".csv", ".txt", ".json", ".h5", ".mat"])
def test_files_that_are_neither_code_nor_photo_are_named(command, codes, capsys, ending):
    Path(f"w{ending}").write_text("1, 2")
    assert command("morph", codes[0], f"w{ending}") == LatentError.exit_code
    assert "save the code as .npz, .npy or .pt" in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["embed", "PHOTO", "--start", "one.safetensors", "--init", "mean"], "--start and --init"),
        (["morph", "one.safetensors", "two.safetensors", "-o", "m.png", "--fps", "5"], "--fps is for videos"),
    ],
)
def test_options_that_would_take_no_part_are_refused(command, photo, codes, capsys, unused, arguments, says):
    assert command(*(photo if word == "PHOTO" else word for word in arguments)) == SettingsError.exit_code
    assert says in one_line(capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["embed", ""],
        ["embed", "PHOTO", ""],
        ["embed", "PHOTO", "-o", ""],
        ["embed", "PHOTO", "--mask", ""],
        ["embed", "PHOTO", "--start", ""],
        ["embed", "PHOTO", "--checkpoint", ""],
        ["embed", "PHOTO", "--generator", ""],
        ["morph", "one.safetensors", ""],
        ["morph", "two.safetensors", "-o", ""],
        ["inspect", ""],
        ["convert", "", "x.safetensors"],
        ["convert", "one.safetensors", ""],
    ],
)
def test_an_empty_path_is_no_folder(command, photo, codes, capsys, unused, arguments):
    """A variable of the shell that is not set; `Path("")` is the folder that one is in."""
    before = contents(command.folder)
    given = [str(photo) if word == "PHOTO" else word for word in arguments]
    generator = [] if "--generator" in given or given[0] in ("inspect", "convert") else ["--generator", command.weights]
    assert main([*given, *map(str, generator)]) > 1
    assert "An empty text is no path" in one_line(capsys) and contents(command.folder) == before


@pytest.mark.parametrize("address", ["file://PATH", "FILE://PATH"])
def test_addresses_of_files_are_paths(command, photo, tmp_path, address):
    """As browsers and file managers copy them."""
    spaced = tmp_path / "a photo.png"
    spaced.write_bytes(photo.read_bytes())
    given = address.replace("PATH", str(spaced).replace(" ", "%20"))
    assert command("embed", given, "--quiet", "-o", f"file://{tmp_path}/out", steps=1) == 0
    assert (tmp_path / "out" / "a photo.safetensors").exists()
