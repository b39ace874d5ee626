"""Lesson 5: people as codes, their photos on demand, and the checks, which pass solutions and name mistakes."""

import http.server
import threading

import pytest
import torch
from helpers import small_generator
from PIL import Image
from safetensors.torch import save_file

from i2s.course import lesson05
from i2s.course.checks import CheckFailed
from i2s.course.lesson05 import fetch_photo, load_people, save_people
from i2s.errors import ImageError, SettingsError, WeightFileError
from i2s.files import data_dir
from i2s.generators import load_generator
from training.__main__ import main
from training.people import embed_people

# --- people -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k, name in enumerate(("a", "b")):
        for j, face in enumerate(("neutral", "smiling")):
            Image.new("RGB", (32, 32), (60 * k + 40, 90 * j + 30, 120)).save(folder / f"{name}-{face}.jpg")
    return folder


def test_people_are_embedded_saved_and_loaded(folder, tmp_path):
    generator = small_generator()
    people = embed_people(folder, generator, limit=2, steps=3, learning_rate=0.05, progress=False)
    assert people.neutral.shape == people.smiling.shape == (2, generator.num_ws, generator.w_dim)
    loaded = load_people(generator, save_people(people, generator, tmp_path / "p.safetensors"))
    assert loaded.names == ["person 1", "person 2"] and "CC BY 4.0" in loaded.attribution
    assert torch.allclose(loaded.neutral, people.neutral, atol=2e-3)
    assert not torch.allclose(loaded.neutral, loaded.smiling, atol=1e-2)


def test_embed_people_penalty_keeps_codes_near_the_mean(folder):
    generator = small_generator()
    away = []
    for weight in (0.0, 5.0):
        people = embed_people(folder, generator, 2, 12, 0.05, p_norm_weight=weight, progress=False)
        away.append((people.smiling - generator.w_mean).norm())
    assert away[1] < 0.9 * away[0]


def test_load_people_refuses_another_generator(folder, tmp_path):
    generator = small_generator()
    people = embed_people(folder, generator, limit=1, steps=1, learning_rate=0.05, progress=False)
    path = save_people(people, generator, tmp_path / "p.safetensors")
    with pytest.raises(WeightFileError, match="not for this generator"):
        load_people(small_generator(seed=3), path)


def test_people_refuse_a_folder_without_photos_and_a_broken_file(tmp_path, capsys):
    with pytest.raises(ImageError, match="neutral"):
        embed_people(tmp_path, small_generator(), 2, 1, 0.01)
    assert (
        main(["people", "--photos", str(tmp_path), "--out", str(tmp_path / "o")]) != 0
        and "neutral" in capsys.readouterr().err
    )
    (tmp_path / "p.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightFileError, match="broken"):
        load_people(small_generator(), tmp_path / "p.safetensors")
    with pytest.raises(WeightFileError, match="no file"):
        load_people(small_generator(), tmp_path / "none")


def test_load_people_reads_a_file_without_a_version_and_refuses_one_without_codes(tmp_path):
    generator = small_generator()
    codes = torch.randn(1, generator.num_ws, generator.w_dim).half()
    metadata = {"format": "i2s-people", "names": "a", "attribution": "b"}
    metadata["w_mean"] = lesson05.generator_fingerprint(generator)
    path = tmp_path / "p.safetensors"
    save_file({"neutral": codes, "smiling": codes.clone()}, path, metadata)
    assert torch.equal(load_people(generator, path).smiling, codes.float())
    for version in ({}, {"version": "1"}):
        save_file({"neutral": codes}, path, metadata | version)
        with pytest.raises(WeightFileError, match="smiling"):
            load_people(generator, path)


def test_load_people_reads_the_shipped_file():
    generator = load_generator()
    people = load_people(generator)
    assert len(people.names) >= 4 and people.neutral.shape[1:] == (generator.num_ws, generator.w_dim)
    assert (data_dir() / lesson05.PEOPLE_FILE).stat().st_size < 500_000


# --- their photos -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2S_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def server(tmp_path):
    """A web server over `tmp_path / "site"`; its address."""
    site = tmp_path / "site"
    site.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(site))

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield site, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


def put(site, data, place="neutral_front/010_03.jpg"):
    file = site / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def test_fetch_photo_downloads_once_and_shows_the_licence(shared, cache, server):
    site, address = server
    put(site, (shared / "photos" / "010-neutral.jpg").read_bytes())
    said = []
    path = fetch_photo("010", "neutral", address, progress=False, say=said.append)
    assert path.read_bytes() == (shared / "photos" / "010-neutral.jpg").read_bytes()
    assert any("CC BY 4.0" in text and "consented" in text for text in said)
    put(site, b"changed")
    assert fetch_photo("010", "neutral", address, progress=False, say=said.append) == path


def test_fetch_photo_refuses_another_file(cache, server, capsys):
    site, address = server
    put(site, b"not that photo")
    assert fetch_photo("010", "neutral", address, progress=False, say=lambda text: None) is None
    assert "goes on with the codes" in capsys.readouterr().out


def test_fetch_photo_offline_returns_none(cache, monkeypatch, capsys):
    monkeypatch.setenv("I2S_OFFLINE", "1")
    assert fetch_photo("011", "smiling", progress=False) is None
    assert "goes on with the codes" in capsys.readouterr().out


def test_fetch_photo_refuses_an_unknown_person():
    with pytest.raises(SettingsError, match="010"):
        fetch_photo("999", "neutral")


# --- checks -----------------------------------------------------------------------------------------------------------


def line(first=lambda lam: lam, second=lambda lam: 1 - lam):
    return lambda w1, w2, lams: torch.stack([first(lam) * w1 + second(lam) * w2 for lam in lams])


def smile(neutral, smiling, left_out):
    others = [k for k in range(len(neutral)) if k != left_out]
    return (smiling[others] - neutral[others]).mean(0)


WORDS = "Readers would believe it is a photo and be deceived; I would do it only with consent and a label beside it."
SOLUTIONS = {
    "morph": line(),
    "give_smile": lambda w, n, s, lam: w + lam * (s - n),
    "mean_smile": smile,
    "crossover_prediction": "colours",
    "dark_hair": "A",
    "request": WORDS,
}
MISTAKES = [
    ("morph", lambda *a: None, "no value"),
    ("morph", lambda w1, w2, lams: lams[0] * w1, "shape"),
    ("morph", line(lambda lam: 1 - lam, lambda lam: lam), "swapped"),
    ("morph", line(second=lambda lam: lam), "w1|1 - lambda"),
    ("morph", line(lambda lam: lam**2, lambda lam: 1 - lam**2), "quarter"),
    ("give_smile", lambda *a: None, "no value"),
    ("give_smile", lambda w, n, s, lam: w + lam * (n - s), "takes the smile away"),
    ("give_smile", lambda w, n, s, lam: w + lam * s, "whole smiling person"),
    ("give_smile", lambda w, n, s, lam: w + s - n, "lambda is not used"),
    ("give_smile", lambda w, n, s, lam: lam * (w + s - n), "scaled too"),
    ("mean_smile", lambda *a: None, "no value"),
    ("mean_smile", lambda n, s, k: smile(0 * n, s, k), "neutral code off"),
    ("mean_smile", lambda n, s, k: (s - n).mean(0), "left_out"),
    ("mean_smile", lambda n, s, k: smile(n, s, k) * 3, "sum of the smiles"),
    ("mean_smile", lambda n, s, k: smile(n, s, k) * 0.75, "number of the others"),
    ("mean_smile", lambda n, s, k: (s - n)[k], "the one that should be left out"),
    ("mean_smile", lambda n, s, k: -smile(n, s, k), "not the other way"),
    ("mean_smile", lambda n, s, k: smile(n, s, k).mean(), "shape"),
    ("crossover_prediction", None, "no answer"),
    ("crossover_prediction", "pose", "coarse rows"),
    ("crossover_prediction", "identity", "first half"),
    ("crossover_prediction", "hats", "not one of"),
    ("dark_hair", "", "no answer"),
    ("dark_hair", "B", "every smile"),
    ("dark_hair", "C", "nothing new"),
    ("request", "", "sentences"),
    ("request", "I would do it because the newspaper pays me well and the picture is really nicer so", "believe"),
    ("request", "I would refuse since readers believe what they see and that would be a bad thing indeed", "asked"),
]  # fmt: skip


OTHERS = [
    ("give_smile", lambda w, n, s, lam: w + lam * s - lam * n),
    ("mean_smile", lambda n, s, k: ((s - n).sum(0) - (s - n)[k]) / (len(n) - 1)),
    ("crossover_prediction", "colors"),
    ("request", "I would decline unless she gives permission and it is marked as altered: voters could be misled."),
    ("request", "Dishonest, since photos are taken as evidence. With approval and a clear disclosure it may be shown."),
]
TASK = "Sure, I will do the task a little earlier than my clients wish, since I like friendly portraits so much."


@pytest.mark.parametrize("name, answer", OTHERS)
def test_check_passes_other_right_answers(name, answer):
    getattr(lesson05, f"check_{name}")(answer)


def test_check_request_looks_for_whole_words():
    """ "lie" is in earlier and clients, "ask" in task."""
    with pytest.raises(CheckFailed, match="readers would believe"):
        lesson05.check_request(TASK)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_check_passes_the_solution(name, capsys):
    getattr(lesson05, f"check_{name}")(SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(lesson05, f"check_{name}")(answer)
