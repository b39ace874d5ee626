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
from skimage import data

from i2s.cli import main
from i2s.embedding import TuningSettings
from i2s.embedding.result import EmbedResult
from i2s.errors import DeviceError, DownloadError, ImageError, LatentError, OutputError, SettingsError, WeightFileError
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
    """Runs `i2s` in an empty folder with the tiny generator and the slim network."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(name, *arguments, generator=weights, steps=3):
        options = ["--generator", str(generator)]
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


def test_convert_replaces_only_generators(weights, codes, command, capsys):
    before = contents(command.folder)
    assert main(["convert", str(weights), codes[0]]) == OutputError.exit_code
    assert "one.safetensors exists" in one_line(capsys) and contents(command.folder) == before
    assert main(["convert", str(weights), "g.safetensors"]) == main(["convert", str(weights), "g.safetensors"]) == 0


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
