"""Image2StyleGAN: embed photos into a StyleGAN's latent space, and edit them there.

    generator = i2s.load_generator()
    result = i2s.embed("photo.jpg", generator, steps=300)
    image = generator.synthesis(i2s.morph(result.w_plus, other.w_plus, 0.5))

Each public name is loaded when it is first used, so that `import i2s` is quick; editors read them in `__init__.pyi`.
"""

import lazy_loader

__version__ = "0.1.0"

# not attach_stub, which reads the names from the .pyi: parsing it takes ten times as long as all else
__getattr__, _, _names = lazy_loader.attach(
    __name__,
    submod_attrs={
        "alignment.align": ["align", "paste_back"],
        "edits": ["crossover", "morph", "transfer_expression"],
        "embedding": ["EmbedSettings", "NoiseSettings", "TuningSettings", "embed", "interrupted_result"],
        "embedding.result": ["EmbedResult"],
        "errors": ["I2SError"],
        "figures": ["contact_sheet", "write_video"],
        "generators": ["load_generator"],
        "images": ["load_photos", "read_image", "write_image"],
        "losses.perceptual": ["load_perceptual"],
    },
)
__all__ = ["__version__", *_names]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
