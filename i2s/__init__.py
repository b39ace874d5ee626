"""Image2StyleGAN: embed photos into a StyleGAN's latent space, and edit them there.

    generator = i2s.load_generator()
    result = i2s.embed("photo.jpg", generator, steps=300)
    image = generator.synthesis(i2s.morph(result.w_plus, other.w_plus, 0.5))

The names below are loaded when they are first used, so that `import i2s` is quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "load_generator": "i2s.generators",
    "load_perceptual": "i2s.losses.perceptual",
    "embed": "i2s.embedding",
    "EmbedSettings": "i2s.embedding",
    "NoiseSettings": "i2s.embedding",
    "TuningSettings": "i2s.embedding",
    "EmbedResult": "i2s.embedding.result",
    "morph": "i2s.edits",
    "transfer_expression": "i2s.edits",
    "crossover": "i2s.edits",
    "read_image": "i2s.images",
    "load_photos": "i2s.images",
    "write_image": "i2s.images",
    "contact_sheet": "i2s.images",
    "write_video": "i2s.figures",
    "I2SError": "i2s.errors",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'i2s' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))
