from .alignment.align import align, paste_back
from .edits import crossover, morph, transfer_expression
from .embedding import EmbedSettings, NoiseSettings, TuningSettings, embed, interrupted_result
from .embedding.result import EmbedResult
from .errors import I2SError
from .figures import contact_sheet, write_video
from .generators import load_generator
from .images import load_photos, read_image, write_image
from .losses.perceptual import load_perceptual

__version__: str
__all__ = [
    "EmbedResult",
    "EmbedSettings",
    "I2SError",
    "NoiseSettings",
    "TuningSettings",
    "__version__",
    "align",
    "contact_sheet",
    "crossover",
    "embed",
    "interrupted_result",
    "load_generator",
    "load_perceptual",
    "load_photos",
    "morph",
    "paste_back",
    "read_image",
    "transfer_expression",
    "write_image",
    "write_video",
]
