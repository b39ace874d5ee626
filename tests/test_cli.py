"""The command `i2s`, run as a user runs it: what it writes, what it says, and what it leaves alone."""

import importlib
import os
import resource
import subprocess
import sys

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
    assert command(*arguments, steps=111) == SettingsError.exit_code
    assert "other settings" in one_line(capsys)


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
        if safe not in path.parents:
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
