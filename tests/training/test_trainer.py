"""A training run from the first step to the last: its settings, its phases, its resuming."""

import dataclasses
import json

import pytest
import torch
from helpers import small_generator
from PIL import Image
from tiny_run import BATCH, MATCHED, PLAIN, TINY, checkpoint_tensors, make_trainer, quiet

from i2s.encoder import Encoder
from i2s.errors import OutputError, SettingsError, WeightFileError
from training.checkpoint import FILE, load_discriminator, save_checkpoint, save_discriminator
from training.configs import CONFIGS, TrainConfig
from training.export import read_run
from training.trainer import BEST, BEST_WITHOUT_NOISE


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def copies(network):
    return [weight.detach().clone() for weight in network.parameters()]


def unchanged(network, before):
    return all(torch.equal(weight, old) for weight, old in zip(network.parameters(), before))


def stop_after(run, phase, steps):
    """A report that stops the run after so many steps of a phase."""
    seen = []

    def report(text):
        if text.startswith("{") and json.loads(text)["phase"] == phase:
            seen.append(text)
            if len(seen) == steps:
                run.stop()

    return report


# --- configurations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_config_is_named_for_its_resolution_and_counts_its_channels(name):
    config = CONFIGS[name]
    assert name.endswith(f"-{config.resolution}")
    assert 4 * 2 ** (len(config.channels) - 1) == config.resolution
    assert len(config.discriminator_channels) == len(config.encoder_channels) == len(config.channels)
    assert config.mapping_steps == 0 or config.z_dim == config.w_dim
    assert (config.autoencode > 0) == (config.mapping_steps > 0)  # the warm start is complete, or not there


def test_faces_128_has_the_layout_of_the_papers():
    config = CONFIGS["faces-128"]
    assert config.z_dim == config.w_dim == 512 and config.channels == (256, 256, 256, 128, 64, 32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (8, 8)},
        {"discriminator_channels": (8, 8, 8, 8)},
        {"encoder_channels": (8,)},
        {"resolution": 24},
        {"z_dim": 8},  # the warm start sends z to w by a square matrix
        {"encoded": 1.0},  # nothing would be left for random z
        {"blended": 1.5},
        {"batch": 0},
        {"dtype": "float8"},
        {"discriminator": "other"},
        {"mapping": "other"},
        {"augment": "other"},
        {"augment_least": 0.9},
        {"report_kimg": 0.0},
        {"r1_interval": 0},
        {"adversarial": -1.0},
        {"learning_rate": float("nan")},
        {"mapping_steps": 0, "blended": 0.5},  # there would be no codes to blend
        {"mapping_steps": 0, "mapping": "match"},
    ],
)
def test_config_that_cannot_work_is_refused(wrong):
    with pytest.raises(SettingsError):
        dataclasses.replace(TINY, **wrong)


def test_config_without_a_warm_start_may_have_different_z_and_w():
    assert TrainConfig(16, (8, 8, 8), (8, 8, 8), (8, 8, 8), z_dim=8, w_dim=16).mapping_steps == 0


# --- a run ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TINY, MATCHED], ids=["refit", "match"])
def test_run_goes_through_all_phases_and_writes_log_sheet_and_checkpoint(tmp_path, config):
    run = make_trainer(tmp_path, config)
    run.train(report=quiet)
    assert run.state["phase"] == "done" and run.state["total"] == 10 * BATCH
    lines = read_log(tmp_path)
    assert [line["phase"] for line in lines].count("autoencode") == 4
    metrics = [line for line in lines if line["phase"] == "metric"]
    assert [m["kimg"] for m in metrics] == [0.024, 0.048]
    assert all(m["frechet"] > 0 and 0 <= m["precision"] <= 1 and 0 <= m["recall"] <= 1 for m in metrics)
    played = [line for line in lines if line["phase"] == "adversarial"]
    for line in played:
        assert {"g", "d", "sign", "augment", "reconstruction", "images_per_second"} <= line.keys()
        assert ("match" in line) == (config is MATCHED)
    assert ["r1" in line for line in played] == [True, False] * 3  # every second step
    assert Image.open(tmp_path / "latest.png").size == (12 * 16, 6 * 16)
    assert (tmp_path / "sheet-00000.png").is_file()
    assert all(tensor.isfinite().all() for tensor in checkpoint_tensors(tmp_path).values())


def test_run_changes_all_networks_and_the_average_follows_the_generator(tmp_path):
    run = make_trainer(tmp_path)
    before = {name: copies(network) for name, network in run.networks().items()}
    run.train(report=quiet)
    for name, network in run.networks().items():
        moved = [not torch.equal(p, q) for p, q in zip(network.parameters(), before[name])]
        assert sum(moved) >= len(moved) - 1, name  # the last noise strength may have no effect yet
    assert not unchanged(run.g_ema, copies(run.generator))
    assert torch.equal(run.g_ema.w_mean, run.generator.w_mean)
    for ours, theirs in zip(run.g_ema.noise_maps(), run.generator.noise_maps()):
        assert torch.equal(ours, theirs)  # the stored noise is not redrawn


def test_plain_run_starts_with_the_adversarial_phase(tmp_path):
    make_trainer(tmp_path, **PLAIN, encoded=0.0, adversarial=0.016).train(report=quiet)
    assert [line["phase"] for line in read_log(tmp_path)] == ["adversarial", "adversarial"]


def test_discriminator_leads(tmp_path):
    run = make_trainer(tmp_path, **PLAIN | {"discriminator_lead": 0.016}, adversarial=0.016)
    generator, discriminator = copies(run.generator), copies(run.discriminator)
    run.train(report=quiet)
    assert unchanged(run.generator, generator) and not unchanged(run.discriminator, discriminator)


def test_run_without_noise_draws_no_noise_even_if_it_began_with_it(tmp_path):
    run = make_trainer(tmp_path, **PLAIN)
    run.train(report=stop_after(run, "adversarial", 2))
    w_plus = torch.randn(2, 6, 16)
    assert not torch.equal(run.g_ema.synthesis(w_plus), run.g_ema.synthesis(w_plus, "none"))
    run = make_trainer(tmp_path, **PLAIN, noise_from=1.0)
    run.train(report=quiet)
    for network in (run.g_ema, run.generator):
        assert torch.equal(network.synthesis(w_plus), network.synthesis(w_plus, "none"))


def test_noise_is_let_in_late_and_the_best_without_it_is_kept(tmp_path):
    run = make_trainer(tmp_path, MATCHED, metric_kimg=0.008)
    w_plus = torch.randn(2, 6, 16)
    run.train(report=stop_after(run, "adversarial", 5))  # of 6; noise from the sixth on (5 of 6 is above 0.75)
    strengths = [p for name, p in run.generator.named_parameters() if name.endswith("noise_strength")]
    assert not any(strengths) and run.state["best"].keys() == {BEST_WITHOUT_NOISE}
    assert torch.equal(run.g_ema.synthesis(w_plus), run.g_ema.synthesis(w_plus, "none"))
    run.train(report=quiet)
    assert any(strengths) and run.state["best"].keys() == {BEST_WITHOUT_NOISE, BEST}
    generator, _, _ = read_run(tmp_path / BEST_WITHOUT_NOISE)
    assert torch.equal(generator.synthesis(w_plus), generator.synthesis(w_plus, "none"))


def test_best_by_the_metric_is_kept_and_the_run_goes_on(tmp_path, monkeypatch):
    """A checkpoint that was better than all after it must still be there to be exported."""
    values = iter([30.0, 20.0, 50.0, 40.0])
    monkeypatch.setattr(
        "training.metrics.evaluate",
        lambda *args, **kwargs: {"frechet": next(values), "precision": 0.5, "recall": 0.5},
    )
    run = make_trainer(tmp_path, metric_kimg=0.008, **PLAIN, adversarial=0.032)
    run.train(report=quiet)
    assert run.state["total"] == 4 * BATCH and run.state["best"] == {BEST: 20.0}
    _, _, state = read_run(tmp_path / BEST)
    assert (state["images"], state["metric"]) == (2 * BATCH, 20.0)
    assert read_run(tmp_path)[2]["phase"] == "done"


def test_run_leaves_the_global_random_numbers_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_trainer(tmp_path, MATCHED).train(report=quiet)
    assert torch.equal(torch.rand(3), expected)


def test_terms_of_some_steps_are_averaged_over_those(tmp_path):
    run = make_trainer(tmp_path, **PLAIN, adversarial=0.032, report_kimg=0.032, metric_kimg=1.0)
    seen = []
    step = run.r1_step

    def watched():
        seen.append(step())
        return seen[-1]

    run.r1_step = watched
    run.train(report=quiet)
    penalties = [float(terms["r1"]) for terms in seen]
    assert len(penalties) == 2
    assert read_log(tmp_path)[0]["r1"] == pytest.approx(sum(penalties) / 2, abs=1e-4)


# --- what faces-128 adds --------------------------------------------------------------------------------------------


def test_held_generator_stands_still_while_the_encoder_learns(tmp_path):
    start = make_trainer(tmp_path / "a", noise_from=1.0).generator
    run = make_trainer(tmp_path / "b", start=start, seed=3, hold=0.016, noise_from=1.0)
    assert unchanged(run.generator, copies(start)) and unchanged(run.g_ema, copies(start))
    encoder = copies(run.encoder)
    run.train(report=stop_after(run, "autoencode", 2))
    assert unchanged(run.generator, copies(start)) and not unchanged(run.encoder, encoder)
    run = make_trainer(tmp_path / "b", seed=3, hold=0.016, noise_from=1.0)  # resumed without it
    run.train(report=stop_after(run, "autoencode", 1))
    assert not unchanged(run.generator.synthesis, copies(start.synthesis))
    assert all(weight.requires_grad for weight in run.generator.parameters())


def test_fresh_generator_is_not_held(tmp_path):
    run = make_trainer(tmp_path, hold=0.016)
    before = copies(run.generator)
    run.train(report=stop_after(run, "autoencode", 1))
    assert not unchanged(run.generator, before)


def test_start_of_another_size_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="has not this configuration's networks"):
        make_trainer(tmp_path, start=small_generator())


def test_encoder_and_bank_stand_still_after_the_freeze(tmp_path):
    run = make_trainer(tmp_path, MATCHED)
    run.train(report=stop_after(run, "adversarial", 2))
    encoder, codes = copies(run.encoder), run.bank.codes.clone()
    assert not run.state["frozen"]
    run.train(report=stop_after(run, "adversarial", 1))  # the last before half of the phase
    assert not unchanged(run.encoder, encoder) and not torch.equal(run.bank.codes, codes)
    encoder = copies(run.encoder)
    run.train(report=stop_after(run, "adversarial", 1))
    assert run.state["frozen"]
    codes = run.bank.codes.clone()
    expected = run.encode(torch.cat([run.faces, run.faces.flip(3)]))
    torch.testing.assert_close(codes, expected)  # of all faces, by the encoder as it stands
    run.train(report=quiet)
    assert unchanged(run.encoder, encoder) and torch.equal(run.bank.codes, codes)


def test_mapping_follows_the_bank_and_not_the_adversarial_loss(tmp_path):
    run = make_trainer(tmp_path, MATCHED)
    run.train(report=stop_after(run, "adversarial", 1))
    before = copies(run.generator.mapping)
    run.adversarial_step(lead=False, noise=False, frozen=False)
    assert unchanged(run.generator.mapping, before)
    distances = [float(run.match_step()["match"]) for _ in range(60)]
    assert not unchanged(run.generator.mapping, before)
    assert sum(distances[-10:]) < sum(distances[:10])


def test_rates_rise_at_the_start_of_a_phase_and_fall_at_the_end(tmp_path):
    run = make_trainer(tmp_path, MATCHED, adversarial=0.08, learning_rate=0.01, warm_up=0.032, decay=0.4)
    seen = {"autoencode": [], "adversarial": []}

    def report(text):
        if text.startswith("{") and (phase := json.loads(text)["phase"]) in seen:
            groups = [*run.adam_g.param_groups, *run.adam_m.param_groups]
            seen[phase].append([group["lr"] for group in groups])

    run.train(report=report)
    synthesis, strengths, encoder, mapping = zip(*seen["adversarial"])
    factors = [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]  # of 10 steps
    assert synthesis == pytest.approx([0.01 * f for f in factors])
    assert encoder == pytest.approx([0.002 * f for f in factors])  # a fifth
    assert strengths == pytest.approx([0.003 * f for f in factors])
    assert mapping == pytest.approx([0.002 * f for f in factors])
    assert [rates[2] for rates in seen["autoencode"]] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])


def test_batch_has_random_codes_blends_and_encoded_photos(tmp_path):
    """Of 8 images 2 are encoded photos, of the other 6 half are blends, all drawn in one batch."""
    run = make_trainer(tmp_path, MATCHED)
    run.train(report=stop_after(run, "adversarial", 1))
    counts = {}

    def watch(owner, name):
        call = getattr(owner, name)

        def watched(first, *args, **kwargs):
            counts[name] = first if isinstance(first, int) else len(first)
            return call(first, *args, **kwargs)

        setattr(owner, name, watched)

    for name in ("_random_w_plus", "_synthesize", "_encode_batch"):
        watch(run, name)
    watch(run.bank, "blend")
    run.adversarial_step(lead=False, noise=False, frozen=False)
    assert counts == {"_random_w_plus": 3, "blend": 3, "_encode_batch": 2, "_synthesize": 8}


# --- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config, phase, steps",
    [
        (TINY, "autoencode", 2),
        (TINY, "adversarial", 1),
        (TINY, "adversarial", 3),
        (MATCHED, "autoencode", 2),
        (MATCHED, "adversarial", 2),  # the encoder learns
        (MATCHED, "adversarial", 4),  # it stands still
        (MATCHED, "adversarial", 5),  # noise is on from the next step
    ],
)
def test_resumed_run_is_bit_equal_to_one_that_was_not_stopped(tmp_path, config, phase, steps):
    def part(folder, **options):
        run = make_trainer(folder, config, augment_images=20.0, discriminator_lead=0.0, **options)
        run.augment.target = -1.1  # p rises at each step, so that the random numbers of the changes matter
        return run

    whole = part(tmp_path / "whole")
    whole.train(report=quiet)
    assert whole.augment.p == 0.8

    first = part(tmp_path / "parts")
    first.train(report=stop_after(first, phase, steps))
    assert first.state["phase"] == phase and first.state["images"] == steps * BATCH
    torch.manual_seed(99)  # another process has another global state
    torch.rand(7)
    second = part(tmp_path / "parts", seed=1)  # the random numbers are the checkpoint's
    assert second.state == json.loads(json.dumps(first.state)) and second.augment.p == first.augment.p
    second.train(report=quiet)
    a, b = checkpoint_tensors(tmp_path / "whole"), checkpoint_tensors(tmp_path / "parts")
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert different == []
    assert second.state["images"] == whole.state["images"]


def test_checkpoint_holds_what_resuming_restores(tmp_path):
    run = make_trainer(tmp_path, MATCHED)
    run.train(report=stop_after(run, "adversarial", 3))
    names = checkpoint_tensors(tmp_path).keys()
    assert {"rng", "augment.p", "g_ema.mapping.w_mean", "g.mapping.w_mean", "bank.codes", "bank.whiten"} <= names
    assert any(name.startswith("adam_g.") and name.endswith("exp_avg_sq") for name in names)
    # beta1 is 0 but for the mapping network: the first moment is the last gradient, not worth the space
    assert not any(name.endswith(".exp_avg") for name in names if not name.startswith("adam_m."))
    assert any(name.startswith("adam_m.") and name.endswith(".exp_avg") for name in names)


def test_failed_step_is_not_saved(tmp_path):
    run = make_trainer(tmp_path, **PLAIN)
    run.train(report=stop_after(run, "adversarial", 2))
    saved = checkpoint_tensors(tmp_path)
    again = make_trainer(tmp_path, **PLAIN)
    again.update_ema = lambda images: 1 / 0
    with pytest.raises(ZeroDivisionError):
        again.train(report=quiet)
    assert all(torch.equal(value, saved[name]) for name, value in checkpoint_tensors(tmp_path).items())


def test_folder_of_another_config_is_refused(tmp_path):
    run = make_trainer(tmp_path)
    run.save()
    with pytest.raises(SettingsError, match="channels"):
        make_trainer(tmp_path, channels=(8, 8, 4))
    assert make_trainer(tmp_path, adversarial=1.0, learning_rate=0.001).state == run.state  # lengths may change


def test_broken_checkpoint_is_refused(tmp_path):
    make_trainer(tmp_path).save()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightFileError, match=FILE):
        make_trainer(tmp_path)


def test_checkpoint_that_lacks_a_tensor_is_refused(tmp_path):
    run = make_trainer(tmp_path)
    tensors = run.live_tensors()
    del tensors["e.out.bias"]
    state = run.state | {"config": dataclasses.asdict(run.config)}
    save_checkpoint(tmp_path, tensors | {"rng": run.rng.get_state()}, state)
    with pytest.raises(WeightFileError, match="does not fit"):
        make_trainer(tmp_path)


def test_checkpoint_of_another_command_is_refused(tmp_path):
    save_checkpoint(tmp_path, {"student.weight": torch.zeros(1)}, {"images": 32})
    with pytest.raises(SettingsError, match="of another command: choose another folder"):
        make_trainer(tmp_path)


def test_unwritable_log_is_one_sentence_and_the_checkpoint_stands(tmp_path):
    """As on a full disk."""
    run = make_trainer(tmp_path, **PLAIN)
    run.save()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(OutputError, match="log.jsonl cannot be written"):
        run.train(report=quiet)
    assert make_trainer(tmp_path, **PLAIN).state["total"] == 0


def test_adversarial_phase_has_its_own_rates_also_after_a_resume(tmp_path):
    changes = PLAIN | {"adversarial_rate": 0.0005, "discriminator_rate": 0.0001}
    run = make_trainer(tmp_path, **changes)
    assert run.adam_g.param_groups[0]["lr"] == TINY.learning_rate
    run.train(report=stop_after(run, "adversarial", 2))
    for one in (run, make_trainer(tmp_path, **changes)):
        assert one.state["phase"] == "adversarial"
        assert one.adam_g.param_groups[0]["lr"] == 0.0005
        assert one.adam_d.param_groups[0]["lr"] == 0.0001


def test_refitted_mapping_takes_no_part_in_the_game(tmp_path):
    run = make_trainer(tmp_path / "a", **PLAIN)
    before = copies(run.generator.mapping)
    run.train(report=stop_after(run, "adversarial", 2))
    assert not unchanged(run.generator.mapping, before)
    run = make_trainer(tmp_path / "b", **PLAIN | {"mapping": "refit"}, refit_kimg=10.0)  # beyond the end: never
    run.train(report=stop_after(run, "adversarial", 2))
    assert unchanged(run.generator.mapping, before)


def test_refit_moves_the_mapping_and_the_average_takes_it_over(tmp_path):
    run = make_trainer(tmp_path, autoencode=0.0, discriminator_lead=0.0)
    run.train(report=stop_after(run, "adversarial", 1))
    before = copies(run.generator.mapping)
    run.train(report=quiet)
    assert not unchanged(run.generator.mapping, before)
    assert unchanged(run.g_ema.mapping, copies(run.generator.mapping))


def test_run_starts_in_the_adversarial_phase_with_the_networks_of_another(tmp_path):
    first = make_trainer(tmp_path / "a", MATCHED)
    first.train(report=quiet)
    generator, encoder, _ = read_run(tmp_path / "a")
    file = save_discriminator(first.discriminator.state_dict(), tmp_path / "d.safetensors")

    run = make_trainer(tmp_path / "b", MATCHED, start=generator, seed=3)
    run.start_adversarial(encoder, load_discriminator(file))
    assert run.state["phase"] == "adversarial" and unchanged(run.generator.mapping, copies(generator.mapping))
    for name, weight in run.discriminator.state_dict().items():
        torch.testing.assert_close(weight, first.discriminator.state_dict()[name], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run.bank.codes[: len(run.faces)], run.encode(run.faces))
    frozen = copies(run.encoder)
    bank = run.bank.codes.clone()
    run.train(report=stop_after(run, "adversarial", 1))
    assert unchanged(run.encoder, frozen) and torch.equal(run.bank.codes, bank)
    assert not unchanged(run.generator.synthesis, copies(generator.synthesis))


def test_start_refuses_networks_of_other_shapes(tmp_path):
    run = make_trainer(tmp_path / "a", MATCHED)
    with pytest.raises(SettingsError, match="shapes"):
        run.start_adversarial(Encoder((8, 8), 12))
    with pytest.raises(SettingsError, match="shapes"):
        run.start_adversarial(run.encoder, {"weight": torch.zeros(1)})


def test_discriminator_file_is_checked(tmp_path):
    with pytest.raises(WeightFileError, match="no file"):
        load_discriminator(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightFileError, match="broken"):
        load_discriminator(tmp_path / "broken.safetensors")
