"""Lesson 5: people as codes, their photos on demand, and the checks, which pass solutions and name mistakes."""

import http.server
import threading

import numpy as np
import pytest
import torch
from helpers import small_generator
from PIL import Image
from safetensors.torch import save_file

import i2s
from i2s.course import lesson05
from i2s.course.checks import CheckFailed, NoAnswer
from i2s.course.lesson05 import changes, cut, draw, fetch_photo, load_people, nearest, remaining, save_people
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
    people = embed_people(folder, generator, limit=2, steps=3, learning_rate=0.05, init="mean", progress=False)
    assert people.neutral.shape == people.smiling.shape == (2, generator.num_ws, generator.w_dim)
    loaded = load_people(generator, save_people(people, generator, tmp_path / "p.safetensors"))
    assert loaded.names == ["person 1", "person 2"] and "CC BY 4.0" in loaded.attribution
    assert loaded.settings == people.settings and "3 steps" in loaded.settings and "0.02" in loaded.settings
    assert torch.allclose(loaded.neutral, people.neutral, atol=2e-3)
    assert not torch.allclose(loaded.neutral, loaded.smiling, atol=1e-2)


def test_embed_people_penalty_keeps_codes_near_the_mean(folder):
    generator = small_generator()
    away = []
    for weight in (0.0, 5.0):
        people = embed_people(folder, generator, 2, 12, 0.05, p_norm_weight=weight, init="mean", progress=False)
        away.append((people.smiling - generator.w_mean).norm())
    assert away[1] < 0.9 * away[0]


def test_load_people_refuses_another_generator(folder, tmp_path):
    generator = small_generator()
    people = embed_people(folder, generator, limit=1, steps=1, learning_rate=0.05, init="mean", progress=False)
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
    assert load_people(generator, path).settings == ""
    for version in ({}, {"version": "1"}):
        save_file({"neutral": codes}, path, metadata | version)
        with pytest.raises(WeightFileError, match="smiling"):
            load_people(generator, path)


def test_load_people_reads_the_shipped_file():
    generator = load_generator()
    people = load_people(generator)
    assert people.neutral.shape == people.smiling.shape == (8, generator.num_ws, generator.w_dim)
    assert "0.02" in people.settings and "P_N+" in people.settings
    assert (data_dir() / lesson05.PEOPLE_FILE).stat().st_size < 300_000


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
    said = capsys.readouterr().out
    assert "I2S_OFFLINE forbids" in said and "goes on with the codes" in said


def test_fetch_photo_says_which_folder_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("I2S_CACHE", str(tmp_path / "file"))
    assert fetch_photo("010", "smiling", "http://127.0.0.1:9", progress=False, say=lambda text: None) is None
    said = capsys.readouterr().out
    assert str(tmp_path / "file") in said and "127.0.0.1" not in said


def test_fetch_photo_refuses_an_unknown_person():
    with pytest.raises(SettingsError, match="010"):
        fetch_photo("999", "neutral")


# --- images of codes, and what an edit has done --------------------------------------------------------------


class PixelNet(torch.nn.Module):
    """A perceptual network whose one tap is the image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def features(self, images):
        return [self.weight * images]


def test_draw_takes_a_batch_or_a_list_and_keeps_no_gradient():
    generator = small_generator()
    codes = torch.randn(11, generator.num_ws, generator.w_dim)  # more than are drawn at once
    images = draw(generator, codes.requires_grad_())
    assert images.shape == (11, 3, generator.resolution, generator.resolution) and not images.requires_grad
    assert torch.allclose(draw(generator, list(codes)), images, atol=1e-6)
    assert torch.allclose(images, generator.synthesis(codes).clamp(-1, 1), atol=1e-5)


def test_remaining_is_1_for_the_neutral_face_0_for_the_own_smile_and_more_beyond():
    neutral, own = torch.rand(9, 3, 8, 8), torch.rand(9, 3, 8, 8)
    net = PixelNet()
    assert torch.allclose(remaining(net, neutral, neutral, own), torch.ones(9))
    assert torch.equal(remaining(net, own, neutral, own), torch.zeros(9))
    half = remaining(net, (neutral + own) / 2, neutral, own)
    assert torch.allclose(half, torch.full((9,), 0.25))  # of squares
    assert not half.requires_grad


def test_nearest_finds_the_image_that_is_most_like():
    gallery = torch.rand(4, 3, 8, 8)
    images = gallery[[2, 0, 3]] + 0.01
    assert nearest(PixelNet(), images, gallery).tolist() == [2, 0, 3]


@pytest.mark.parametrize("side", [64, 128])
def test_changes_tells_mouth_from_background(side):
    before = torch.zeros(2, 3, side, side)
    mouth, corner = before.clone(), before.clone()
    cut(mouth)[:] = 2 / 255  # a view
    assert mouth[:, :, int(0.7 * side), side // 2].min() > 0 and mouth[:, :, int(0.45 * side)].max() == 0
    corner[:, :, : round(0.3 * side), -round(0.1 * side) :] = 2 / 255  # at the right alone
    assert changes(before, mouth) == pytest.approx({"mouth": 1.0, "background": 0.0})
    assert changes(before, corner) == pytest.approx({"mouth": 0.0, "background": 0.5})


# --- checks -----------------------------------------------------------------------------------------------------------

WORDS = "Readers would believe it is a photo and be deceived; I would do it only with consent and a label beside it."


def by_loop(w1, w2, lams):
    frames = torch.empty(len(lams), *w1.shape)
    for k, lam in enumerate(lams):
        frames[k] = w2 + lam * (w1 - w2)
    return frames


def by_broadcasting(w1, w2, lams):
    lams = torch.tensor(lams)[:, None, None]
    return lams * w1[None] + (1 - lams) * w2[None]


def by_sum(neutral, smiling, left_out):
    smiles = smiling - neutral
    return (smiles.sum(0) - smiles[left_out]) / (len(smiles) - 1)


def by_parts(neutral, smiling, left_out):
    before, after = smiling - neutral, smiling - neutral
    return torch.cat([before[:left_out], after[left_out + 1 :]]).mean(0)


def by_mask(neutral, smiling, left_out):
    keep = torch.ones(len(neutral), dtype=torch.bool)
    keep[left_out] = False
    return smiling[keep].mean(0) - neutral[keep].mean(0)


def by_running_mean(neutral, smiling, left_out):
    total = 0
    for k in range(len(neutral)):
        if k != left_out:
            total = total + smiling[k] - neutral[k]
    return total / (len(neutral) - 1)


def by_deleting(neutral, smiling, left_out):
    others = list(smiling - neutral)
    del others[left_out]
    return torch.stack(others).mean(dim=0)


def rows_on_a_clone(w1, smile, lam, rows):
    result = w1.clone()
    for row in rows:
        result[row] += lam * smile[row]
    return result


def rows_by_index(w1, smile, lam, rows):
    result = w1.clone()
    rows = list(rows)
    result[rows] = w1[rows] + lam * smile[rows]
    return result


def rows_by_a_mask(w1, smile, lam, rows):
    chosen = torch.tensor([k in rows for k in range(len(w1))])
    return torch.where(chosen[:, None], w1 + lam * smile, w1)


def rows_one_by_one(w1, smile, lam, rows):
    return torch.stack([w1[k] + lam * smile[k] * (k in rows) for k in range(len(w1))])


def rows_of_a_zeroed_smile(w1, smile, lam, rows):
    part = torch.zeros_like(smile)
    for row in rows:
        part[row] = smile[row]
    return w1 + lam * part


def crossed_on_a_clone(content, style, split):
    result = style.clone()
    result[:split] = content[:split]
    return result


RIGHT = {
    "morph": [
        lesson05.line,
        by_loop,
        by_broadcasting,
        lambda w1, w2, lams: [torch.lerp(w2, w1, lam) for lam in lams],
        lambda w1, w2, lams: lesson05.line(w1.double(), w2.double(), lams),
        lambda w1, w2, lams: torch.cat([(lam * w1 + (1 - lam) * w2).unsqueeze(0) for lam in lams]),
        lambda w1, w2, lams: i2s.morph(w1, w2, lams),
        lambda w1, w2, lams: lesson05.line(w1, w2, lams).numpy(),
    ],
    "transfer": [
        lambda w1, w2, w3, lam: w1 + lam * (w3 - w2),
        lambda w1, w2, w3, lam: w1 + lam * w3 - lam * w2,
        lambda w1, w2, w3, lam: torch.add(w1, w3 - w2, alpha=lam),
        lambda w1, w2, w3, lam: w1 - (w2 - w3) * lam,
        lambda w1, w2, w3, lam: (w1.double() + lam * (w3 - w2)).numpy(),
        lambda w1, w2, w3, lam: torch.stack([a + lam * (c - b) for a, b, c in zip(w1, w2, w3)]),
    ],
    "mean_smile": [lesson05.smile_of_others, by_sum, by_parts, by_mask, by_running_mean, by_deleting],
    "guess": [60, 35.5, 0, np.float32(80), torch.tensor(100), 0.6],
    "smile_in_rows": [
        lesson05.with_rows,
        rows_on_a_clone,
        rows_by_index,
        rows_by_a_mask,
        rows_one_by_one,
        rows_of_a_zeroed_smile,
    ],
    "crossover": [
        lesson05.crossed,
        crossed_on_a_clone,
        lambda content, style, split: torch.stack([(content if k < split else style)[k] for k in range(len(style))]),
        lambda content, style, split: torch.vstack((content[:split], style[split:])),
        lambda content, style, split: i2s.crossover(content, style, split),
        lambda content, style, split: torch.where((torch.arange(len(style)) < split)[:, None], content, style),
        lambda content, style, split: [*content[:split], *style[split:]],
    ],
    "same_photo": ["B", "b", " B ", ("B",), "B: what this photo does not show"],
    "request": [
        WORDS,
        "I would decline unless she gives permission and it is marked as altered: voters could be misled.",
        "Dishonest, since photos are taken as evidence. With approval and a clear disclosure it may be shown.",
        "No. People trust a photo in the news; if at all, then with the agreement of who is shown, and a caption.",
        "I would never print it without asking, and I would label it, because a reader takes it for the truth.",
        "Only if the politician allows it and the caption says it was edited, or else it is manipulation.",
    ],
}


def line(first=lambda lam: lam, second=lambda lam: 1 - lam):
    return lambda w1, w2, lams: torch.stack([first(lam) * w1 + second(lam) * w2 for lam in lams])


def in_place(w1, w2, lams):
    frames = []
    for lam in lams:
        w1 *= lam
        frames.append(w1 + (1 - lam) * w2)
    return torch.stack(frames)


def smile(neutral, smiling, left_out):
    return lesson05.smile_of_others(neutral, smiling, left_out)


def smile_in_place(w1, smile, lam, rows):
    for row in rows:
        w1[row] += lam * smile[row]
    return w1


def crossed_in_place(content, style, split):
    content[split:] = style[split:]
    return content


def misspelt(*arguments):
    return torch.stak(arguments)


ALL = range(lesson05.CODE[0])
TASK = "Sure, I will do the task a little earlier than my clients wish, since I like friendly portraits so much."
WRONG = [
    ("morph", lambda *a: None, "no value"),
    ("morph", lambda w1, w2, lams: lams[0] * w1 + (1 - lams[0]) * w2, "one frame"),
    ("morph", line(lambda lam: 1 - lam, lambda lam: lam), "swapped"),
    ("morph", line(second=lambda lam: lam), "second weight is 1 - lambda"),
    ("morph", line(second=lambda lam: 0), "w2 is missing"),
    ("morph", line(second=lambda lam: 1), "in full"),
    ("morph", line(lambda lam: lam**2, lambda lam: 1 - lam**2), "not even"),
    ("morph", line(lambda lam: 0.5, lambda lam: 0.5), "lambda is not used"),
    ("morph", line(lambda lam: min(max(lam, 0), 1), lambda lam: 1 - min(max(lam, 0), 1)), "between 0 and 1"),
    ("morph", lambda w1, w2, lams: torch.cat(list(line()(w1, w2, lams))), "torch.stack makes a batch"),
    ("morph", lambda w1, w2, lams: line()(w1, w2, lams[::-1]), "reverse"),
    ("morph", lambda w1, w2, lams: torch.stack([w1 + lam * (w1 - w2) for lam in lams]), "away from w2"),
    ("morph", in_place, "changes what it was handed, `w1`"),
    ("morph", lambda w1, w2, lams: lams * w1, "stopped with"),
    ("morph", misspelt, "has no attribute"),
    ("morph", line()(torch.ones(2, 2), torch.ones(2, 2), [1.0]), "function itself"),
    ("transfer", lambda *a: None, "no value"),
    ("transfer", lambda w, n, s, lam: w + lam * (n - s), "takes the smile away"),
    ("transfer", lambda w, n, s, lam: w + lam * s, "whole smiling person"),
    ("transfer", lambda w, n, s, lam: w + lam * (s - w), "morph from the target"),
    ("transfer", lambda w, n, s, lam: (1 - lam) * w + lam * s, "morph from the target"),
    ("transfer", lambda w, n, s, lam: n + lam * (s - n), "source's own smile"),
    ("transfer", lambda w, n, s, lam: w + s - n, "lambda is not used"),
    ("transfer", lambda w, n, s, lam: lam * (w + s - n), "scaled, too"),
    ("transfer", lambda w, n, s, lam: w + lam * s - n, "brackets"),
    ("transfer", lambda w, n, s, lam: lam * (s - n), "target is missing"),
    ("transfer", lambda w, n, s, lam: w + abs(lam) * (s - n), "negative lambda"),
    ("transfer", lambda w, n, s, lam: w + max(0, min(1, lam)) * (s - n), "between 0 and 1"),
    ("transfer", lambda w, n, s, lam: (1 - lam) * w + lam * (s - n), "fades"),
    ("transfer", lambda w, n, s, lam: w.add_(lam * (s - n)), "changes what it was handed, `w`"),
    ("mean_smile", lambda *a: None, "no value"),
    ("mean_smile", lambda n, s, k: smile(0 * n, s, k), "neutral code first"),
    ("mean_smile", lambda n, s, k: (s - n).mean(0), "own smile back"),
    ("mean_smile", lambda n, s, k: smile(n, s, k) * (len(n) - 1), "sum of the smiles"),
    ("mean_smile", lambda n, s, k: smile(n, s, k) * (len(n) - 1) / len(n), "number of the others"),
    ("mean_smile", lambda n, s, k: (s - n)[k], "should be left out"),
    ("mean_smile", lambda n, s, k: -smile(n, s, k), "other way"),
    ("mean_smile", lambda n, s, k: smile(n, s, k).mean(), "one number"),
    ("mean_smile", lambda n, s, k: (s - n)[:k].mean(0), "before `left_out`"),
    ("mean_smile", lambda n, s, k: (s - n)[k + 1 :].mean(0), "after `left_out`"),
    ("mean_smile", lambda n, s, k: (s - n)[k:].mean(0), "from `left_out` on"),
    ("mean_smile", lambda n, s, k: (s - n)[:-1].mean(0), "last person"),
    ("mean_smile", lambda n, s, k: smile(n, s, k - 1 if k else len(n) - 1), "index 0"),
    ("mean_smile", lambda n, s, k: (s - n)[[j for j in range(len(n)) if j != k]], "one by one"),
    ("mean_smile", lambda n, s, k: smile(n, s, k).mean(0), "shape"),
    ("guess", "60", "without quotation marks"),
    ("guess", -5, "never negative"),
    ("guess", 5000, "five times"),
    ("guess", [60, 80], "one is needed"),
    ("guess", float("nan"), "set it to a number"),
    ("guess", True, "set it to a number"),
    ("guess", "many", "without quotation marks"),
    ("guess", lambda: 60, "function"),
    ("smile_in_rows", lambda *a: None, "no value"),
    ("smile_in_rows", lambda w, d, lam, rows: w + lam * d, "all rows"),
    ("smile_in_rows", lambda w, d, lam, rows: rows_by_index(w, d, lam, set(ALL) - set(rows)), "other rows"),
    ("smile_in_rows", lambda w, d, lam, rows: rows_by_index(w, d, 1, rows), "lambda is not used"),
    ("smile_in_rows", lambda w, d, lam, rows: rows_by_index(w, -d, lam, rows), "subtracted"),
    ("smile_in_rows", lambda w, d, lam, rows: rows_by_index(w, d - w, 1, rows), "add it to what is there"),
    ("smile_in_rows", lambda w, d, lam, rows: w[list(rows)] + lam * d[list(rows)], "whole code"),
    ("smile_in_rows", lambda w, d, lam, rows: rows_by_index(0 * w, w + lam * d, 1, rows), "keep the code of w1"),
    ("smile_in_rows", lambda w, d, lam, rows: w, "nothing was changed"),
    ("smile_in_rows", smile_in_place, "changes what it was handed, `w1`"),
    (
        "smile_in_rows",
        lambda w, d, lam, rows: rows_by_index(w, d, lam, range(min(rows, default=0), max(rows, default=-1) + 1)),
        "these two alone",
    ),
    (
        "smile_in_rows",
        lambda w, d, lam, rows: rows_by_index(w.T, d.T, lam, [k for k in rows if k < 5]).T,
        "columns",
    ),
    ("crossover", lambda *a: None, "no value"),
    ("crossover", lambda c, s, k: torch.cat([s[:k], c[k:]]), "swapped"),
    ("crossover", lambda c, s, k: torch.cat([c[: k + 1], s[k + 1 :]]), "one row too many"),
    ("crossover", lambda c, s, k: torch.cat([c[: max(k - 1, 0)], s[max(k - 1, 0) :]]), "one row too few"),
    ("crossover", lambda c, s, k: torch.cat([c[:3], s[3:]]), "half of the rows"),
    ("crossover", lambda c, s, k: torch.cat([c[: 6 - k], s[6 - k :]]), "from the end"),
    ("crossover", lambda c, s, k: torch.cat([s[k:], c[:k]]), "in front"),
    ("crossover", lambda c, s, k: torch.cat([c[:k], s[: 6 - k]]), "first rows"),
    ("crossover", lambda c, s, k: torch.cat([c[:k], s]), "longer"),
    ("crossover", lambda c, s, k: torch.cat([c[:, :k], s[:, k:]], dim=1), "columns"),
    ("crossover", lambda c, s, k: (k * c + (6 - k) * s) / 6, "morph"),
    ("crossover", lambda c, s, k: c, "content alone"),
    ("crossover", lambda c, s, k: s, "style alone"),
    ("crossover", lambda c, s, k: torch.cat([c[:k], s[k + 1 :]]), "as many rows"),
    ("crossover", crossed_in_place, "changes what it was handed, `content`"),
    ("same_photo", "A", "no reason to end"),
    ("same_photo", "C", "only less"),
    ("same_photo", "D", "noise"),
    ("same_photo", "E", "not one of"),
    ("same_photo", 2, "not one of"),
    ("same_photo", "none of them", "not one of"),
    ("same_photo", ["A", "B"], "not one of"),
    ("same_photo", "A: more steps", "no reason to end"),
    ("request", "I would do it because the newspaper pays me well and the picture is really nicer so", "believe"),
    ("request", "I would refuse since readers believe what they see and that would be a bad thing indeed", "asked"),
    ("request", "Only with the politician's consent and with a label that stands beside the picture.", "believe"),
    ("request", TASK, "readers would believe"),  # "lie" is in earlier and clients, "ask" in task
    ("request", "I would do it without asking anybody and without a label; readers trust us, good for us.", "next"),
    ("request", "Sure, there is no need to ask or to label it, as readers believe what they see anyway.", "next"),
    ("request", "No, readers.", "more words"),
    (
        "request",
        "Ich lehne ab, weil Leser ein Portrait in der Zeitung als Foto ansehen und getäuscht werden.",
        "English",
    ),
    ("request", 7, "quotation marks"),
]
BLANK = {"guess": (None, ...), "same_photo": (None, ""), "request": ("", None, "...")}


@pytest.mark.parametrize("name, answer", [(name, answer) for name, answers in RIGHT.items() for answer in answers])
def test_check_takes_each_right_answer(name, answer, capsys):
    getattr(lesson05, f"check_{name}")(answer)
    said = capsys.readouterr().out
    assert said.startswith(("Right:", "Noted:", "Taken as", "Both points are mentioned"))
    assert "Right" not in said or name not in ("request", "guess")


@pytest.mark.parametrize("name, answer, said", WRONG)
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(lesson05, f"check_{name}")(answer)


def test_checks_are_tried_with_enough_answers():
    for name, answers in RIGHT.items():
        assert len(answers) >= 5 and sum(wrong[0] == name for wrong in WRONG) >= 8, name


@pytest.mark.parametrize("name", BLANK)
def test_blank_answer_lets_the_notebook_go_on(name, capsys):
    for blank in BLANK[name]:
        getattr(lesson05, f"check_{name}")(blank)
        assert "no answer yet" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["morph", "transfer", "mean_smile", "smile_in_rows", "crossover"])
def test_blank_function_stops_with_one_line(name):
    def blank(*arguments):
        raise NotImplementedError()

    with pytest.raises(NoAnswer, match=r"body of `blank`.*Exercise 5\.\d; cells below need it"):
        getattr(lesson05, f"check_{name}")(blank)
