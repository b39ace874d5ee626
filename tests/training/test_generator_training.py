"""A training run from the first step to the last: its settings, its phases, its resuming."""

import dataclasses
import json

import pytest
import torch
from PIL import Image
from tiny_run import BATCH, TINY, quiet, tensors_of, trainer

from i2s.errors import OutputError, SettingsError, WeightFileError
from training.checkpoint import save_checkpoint
from training.configs import PRESETS, Preset
from training.export import read_run
from training.trainer import BEST

# ---- presets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_for_its_resolution_and_counts_its_channels(name):
    preset = PRESETS[name]
    assert name.endswith(f"-{preset.resolution}")
    assert 4 * 2 ** (len(preset.channels) - 1) == preset.resolution
    assert len(preset.discriminator_channels) == len(preset.channels)
    assert preset.mapping_steps == 0 or preset.z_dim == preset.w_dim
    assert (preset.autoencode > 0) == (preset.mapping_steps > 0)  # the warm start is whole, or not at all


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (8, 8)},
        {"discriminator_channels": (8, 8, 8, 8)},
        {"resolution": 24},
        {"z_dim": 8},  # the warm start sends z to w by a square matrix
        {"encoded": 1.0},  # nothing would be left for random z
        {"batch": 0},
        {"dtype": "float8"},
        {"report_kimg": 0.0},
        {"r1_interval": 0},
        {"adversarial": -1.0},
        {"learning_rate": float("nan")},
    ],
)
def test_a_preset_that_cannot_work_is_refused(wrong):
    with pytest.raises(SettingsError):
        dataclasses.replace(TINY, **wrong)


def test_without_a_warm_start_z_and_w_may_differ():
    assert Preset(16, (8, 8, 8), (8, 8, 8), z_dim=8, w_dim=16).mapping_steps == 0


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_goes_through_all_phases_and_writes_log_sheet_and_checkpoint(tmp_path):
    run = trainer(tmp_path)
    run.train(60, report=quiet)
    assert run.state["phase"] == "done" and run.state["total"] == 10 * BATCH
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines].count("autoencode") == 4
    assert [line["phase"] for line in lines].count("adversarial") == 6
    metrics = [line for line in lines if line["phase"] == "metric"]
    assert [m["kimg"] for m in metrics] == [0.024, 0.048]
    assert all(m["frechet"] > 0 and 0 <= m["precision"] <= 1 and 0 <= m["recall"] <= 1 for m in metrics)
    for line in lines:
        if line["phase"] == "adversarial":
            assert {"g", "d", "r1", "sign", "augment", "reconstruction", "images_per_second"} <= line.keys()
    assert Image.open(tmp_path / "latest.png").size == (12 * 16, 6 * 16)
    assert (tmp_path / "sheet-00000.png").is_file()
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1
    assert all(tensor.isfinite().all() for tensor in tensors_of(tmp_path).values() if tensor.is_floating_point())


def test_training_changes_all_networks_and_the_average_follows_the_generator(tmp_path):
    run = trainer(tmp_path)
    before = {name: [q.clone() for q in net.parameters()] for name, net in run._networks().items()}
    run.train(60, report=quiet)
    for name, net in run._networks().items():
        moved = [not torch.equal(p, q) for p, q in zip(net.parameters(), before[name])]
        assert sum(moved) >= len(moved) - 1, name  # the last noise strength may have no effect yet
    # an average lies between where it was and where the generator is
    assert not all(torch.equal(p, q) for p, q in zip(run.average.parameters(), run.generator.parameters()))
    assert torch.equal(run.average.w_mean, run.generator.w_mean)
    for ours, theirs in zip(run.average.noise_maps(), run.generator.noise_maps()):
        assert torch.equal(ours, theirs)  # the stored noise is not redrawn


def test_a_plain_run_starts_with_the_adversarial_phase(tmp_path):
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=0, encoded=0.0, adversarial=0.016)
    run.train(60, report=quiet)
    phases = [json.loads(line)["phase"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert phases == ["adversarial", "adversarial"]


def test_the_discriminator_leads(tmp_path):
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=0, discriminator_lead=0.016, adversarial=0.016)
    before = [q.clone() for q in run.generator.parameters()]
    judge = [q.clone() for q in run.discriminator.parameters()]
    run.train(60, report=quiet)
    assert all(torch.equal(p, q) for p, q in zip(run.generator.parameters(), before))
    assert not all(torch.equal(p, q) for p, q in zip(run.discriminator.parameters(), judge))


def test_without_noise_inputs_the_stored_maps_have_no_effect_even_in_a_run_that_began_with_them(tmp_path):
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=0, discriminator_lead=0.0)
    run.train(60, report=stop_after(run, "adversarial", 2))
    w_plus = torch.randn(2, 6, 16)
    assert not torch.equal(run.average.synthesis(w_plus), run.average.synthesis(w_plus, "none"))
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=0, discriminator_lead=0.0, noise=False)
    run.train(60, report=quiet)
    for network in (run.average, run.generator):
        assert torch.equal(network.synthesis(w_plus), network.synthesis(w_plus, "none"))


def test_the_best_by_the_metric_is_kept_and_the_run_goes_on(tmp_path, monkeypatch):
    """A game has no end: a checkpoint that was better than all after it must still be there to be exported."""
    values = iter([30.0, 20.0, 50.0, 40.0])
    scores = lambda *args, **kwargs: {"frechet": next(values), "precision": 0.5, "recall": 0.5}  # noqa: E731
    monkeypatch.setattr("training.metrics.evaluate", scores)
    run = trainer(tmp_path, metric_kimg=0.008, autoencode=0.0, mapping_steps=0, adversarial=0.032)
    run.train(1e9, report=quiet)
    assert run.state["total"] == 4 * BATCH and run.state["best"] == 20.0
    _, _, state = read_run(tmp_path / BEST)
    assert (state["images"], state["metric"]) == (2 * BATCH, 20.0)
    assert read_run(tmp_path)[2]["phase"] == "done"


def test_a_run_leaves_the_global_random_numbers_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(tmp_path).train(60, report=quiet)
    assert torch.equal(torch.rand(3), expected)


def test_terms_that_do_not_come_at_each_step_are_averaged_over_those_where_they_do(tmp_path):
    lengths = {"autoencode": 0.0, "discriminator_lead": 0.0, "adversarial": 0.032}
    run = trainer(tmp_path, mapping_steps=0, report_kimg=0.032, metric_kimg=1.0, **lengths)
    seen = []
    step = run._adversarial
    run._adversarial = lambda: seen.append(step()) or seen[-1]
    run.train(60, report=quiet)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    paths = [float(terms["path"]) for terms in seen if "path" in terms]
    assert len(paths) == 2 and line["path"] == pytest.approx(sum(paths) / 2, abs=1e-4)


# ---- resuming -------------------------------------------------------------------------------------------------------


def stop_after(run, phase, steps):
    """A report that stops the run after so many steps of a phase."""
    seen = []

    def report(text):
        if text.startswith("{") and json.loads(text)["phase"] == phase:
            seen.append(text)
            if len(seen) == steps:
                run.stop()

    return report


@pytest.mark.parametrize("phase, steps", [("autoencode", 2), ("adversarial", 3), ("adversarial", 1)])
def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(tmp_path, phase, steps):

    def part(folder, **options):
        run = trainer(folder, augment_images=20.0, discriminator_lead=0.0, **options)
        run.augment.target = -1.1  # p rises at each step, so that the random numbers of the changes matter
        return run

    whole = part(tmp_path / "whole")
    whole.train(60, report=quiet)
    assert whole.augment.p == 0.8

    first = part(tmp_path / "parts")
    first.train(60, report=stop_after(first, phase, steps))
    assert first.state["phase"] == phase and first.state["images"] == steps * BATCH
    torch.manual_seed(99)  # another process has another global state
    torch.rand(7)
    second = part(tmp_path / "parts", seed=1)  # the random numbers are the checkpoint's
    assert second.state == json.loads(json.dumps(first.state)) and second.augment.p == first.augment.p
    second.train(60, report=quiet)
    a, b = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "parts")
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert different == []
    assert second.augment.p == whole.augment.p and second.state["images"] == whole.state["images"]


def test_what_resuming_must_restore_is_in_the_checkpoint(tmp_path):
    run = trainer(tmp_path)
    run.train(60, report=stop_after(run, "adversarial", 3))
    names = tensors_of(tmp_path)
    assert {"rng", "batches", "path_mean", "average.mapping.w_mean", "g.mapping.w_mean"} <= names.keys()
    assert any(name.startswith("adam_g.") and name.endswith("exp_avg_sq") for name in names)
    assert not any(name.endswith(".exp_avg") for name in names)  # beta1 = 0: the last gradient, not worth 15 MB
    assert names["path_mean"] > 0


def test_a_step_that_fails_is_not_saved(tmp_path):
    """Half a step is no state to go on from."""
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=0)
    run.train(60, report=stop_after(run, "adversarial", 2))
    saved = tensors_of(tmp_path)
    again = trainer(tmp_path, autoencode=0.0, mapping_steps=0)
    again._update_average = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        again.train(60, report=quiet)
    assert all(torch.equal(value, saved[name]) for name, value in tensors_of(tmp_path).items())


def test_a_folder_of_another_preset_is_refused(tmp_path):
    run = trainer(tmp_path)
    run.save()
    with pytest.raises(SettingsError, match="channels"):
        trainer(tmp_path, channels=(8, 8, 4))
    assert trainer(tmp_path, adversarial=1.0, learning_rate=0.001).state == run.state  # lengths may change


def test_a_broken_checkpoint_is_said_to_be_broken(tmp_path):
    trainer(tmp_path).save()
    (piece,) = tmp_path.glob("checkpoint-*/piece-00.safetensors")
    piece.write_bytes(piece.read_bytes()[:1000])
    with pytest.raises(WeightFileError, match="checkpoint-000001"):
        trainer(tmp_path)
    piece.unlink()
    with pytest.raises(WeightFileError, match="checkpoint-000001"):
        trainer(tmp_path)


def test_a_checkpoint_of_another_command_is_refused(tmp_path):
    save_checkpoint(tmp_path, {"s.weight": torch.zeros(1)}, {"images": 32})  # as a sibling's
    with pytest.raises(SettingsError, match="of another command: choose another folder"):
        trainer(tmp_path)


def test_a_log_that_cannot_be_written_is_one_sentence_and_the_checkpoint_stands(tmp_path):
    """As on a full disk."""
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=0)
    run.save()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(OutputError, match="log.jsonl cannot be written"):
        run.train(60, report=quiet)
    assert trainer(tmp_path, autoencode=0.0, mapping_steps=0).state["total"] == 0


def test_the_adversarial_phase_has_its_own_rate_also_after_a_resume(tmp_path):
    changes = {"autoencode": 0.0, "mapping_steps": 0, "adversarial_rate": 0.0005, "discriminator_rate": 0.0001}
    run = trainer(tmp_path, **changes)
    assert run.adam_g.param_groups[0]["lr"] == TINY.learning_rate
    run.train(60, report=stop_after(run, "adversarial", 2))
    for one in (run, trainer(tmp_path, **changes)):
        assert one.state["phase"] == "adversarial"
        assert one.adam_g.param_groups[0]["lr"] == 0.0005
        assert one.adam_d.param_groups[0]["lr"] == pytest.approx(0.0001, rel=0.5)


def test_a_mapping_that_is_refitted_takes_no_part_in_the_game(tmp_path):
    changes = {"autoencode": 0.0, "mapping_steps": 0, "discriminator_lead": 0.0}
    run = trainer(tmp_path / "a", refit_kimg=0.0, **changes)
    before = [q.clone() for q in run.generator.mapping.parameters()]
    run.train(60, report=stop_after(run, "adversarial", 2))
    assert not all(torch.equal(p, q) for p, q in zip(run.generator.mapping.parameters(), before))
    run = trainer(tmp_path / "b", refit_kimg=10.0, **changes)  # beyond the end: never
    run.train(60, report=stop_after(run, "adversarial", 2))
    assert all(torch.equal(p, q) for p, q in zip(run.generator.mapping.parameters(), before))


def test_a_refit_moves_the_mapping_and_the_average_takes_it_over(tmp_path):
    run = trainer(tmp_path, autoencode=0.0, mapping_steps=3, discriminator_lead=0.0, refit_kimg=0.016)
    run.train(60, report=stop_after(run, "adversarial", 1))
    before = [q.clone() for q in run.generator.mapping.parameters()]
    run.train(60, report=quiet)
    assert not all(torch.equal(p, q) for p, q in zip(run.generator.mapping.parameters(), before))
    for p, q in zip(run.generator.mapping.parameters(), run.average.mapping.parameters()):
        assert torch.equal(p, q)
