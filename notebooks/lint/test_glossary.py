"""The glossary: every term has a short entry, and every link into it, within it and out of it is valid."""

import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1]
TEXT = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:.+\n)+)", TEXT, re.MULTILINE))
ANCHORS = {name.replace(" ", "-") for name in ENTRIES}
TERMS = """
generator gan discriminator mode-collapse ema ffhq latent-code latent-space normal-distribution standard-deviation z w
w-plus disentanglement mapping-network synthesis-network mean-latent truncation style affine adain demodulation noise
style-mixing coarse-middle-fine editability embedding inversion encoder interpolation perceptual-loss mse psnr ssim
lpips vgg imagenet feature-map loss gradient-descent backpropagation convergence regularisation ablation adam
learning-rate initial-code morphing expression-transfer crossover manifold alignment ethics pca p-space
"""
INSIDE = ("Gaussian", "style vector", "baseline")  # explained in the entry of another term


def test_terms_of_the_field_have_entries():
    assert set(TERMS.split()) <= ANCHORS, set(TERMS.split()) - ANCHORS
    assert all(f"*{term}*" in TEXT for term in INSIDE)


def test_index_lists_every_entry_in_order():
    index = TEXT.partition("\n## ")[0]
    found = re.findall(r"\[([^\]]+)\]\(#([\w-]+)\)", " ".join(index.split()))
    assert {anchor for _, anchor in found} == ANCHORS and len(found) == len(ANCHORS)
    names = [name.lower().replace(",", "") for name, _ in found]
    assert names == sorted(names)


def test_anchors_are_the_same_on_every_viewer():
    """One viewer lowers a heading's letters, another keeps them; one drops its commas, another keeps them."""
    assert all(re.fullmatch(r"[a-z0-9 ]+", name) for name in ENTRIES), ENTRIES.keys()


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_short(name):
    words = re.sub(r"\]\([^)]*\)", "]", ENTRIES[name]).split()
    assert 12 <= len(words) <= 75, len(words)


def test_links_within_lead_to_entries():
    found = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert found and set(found) <= ANCHORS, set(found) - ANCHORS


def test_papers_that_are_cited_are_listed():
    body, papers = TEXT.split("## Papers")
    cited = set(re.findall(r"([A-Z]\w+)(?: and \w+| et al\.) (\d{4})", body))
    assert len(cited) > 8
    for name, year in cited:
        assert re.search(rf"^- {name}\b.*{year}:", papers, re.MULTILINE), (name, year)


@pytest.mark.parametrize("path", sorted((NOTEBOOKS / "source").glob("*.py")), ids=lambda p: p.stem)
def test_links_of_lessons_lead_to_entries(path):
    found = re.findall(r"GLOSSARY\.md#([\w-]+)", path.read_text(encoding="utf-8"))
    assert set(found) <= ANCHORS | {"papers"}, set(found) - ANCHORS


def test_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", TEXT):
        assert (NOTEBOOKS / target).exists(), target
