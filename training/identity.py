"""The face recognition network of dlib (King 2017), a judge that no loss of the training knows.

It maps a face to 128 numbers; photos of one person lie within .6 of each other. It is not a dependency:

    pip install dlib-bin && pip download --no-deps face_recognition_models  # the two .dat files are in its models/

The network, a ResNet of 29 layers trained on about 3 million photos, is in the public domain (CC0).
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2s.errors import WeightFileError
from i2s.images import quantize

NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
SIZE = 256  # px at which faces are sought
WHOLE = (64, 80, 192, 208)  # left, top, right, bottom of the face in FFHQ's crop at SIZE, where none is found
THRESHOLD = 0.0  # detector score of a face that is found


class Identity:
    """Identity descriptors of aligned faces.

    Args:
        folder: Holds `NETWORK` and `LANDMARKS`.

    Raises:
        WeightFileError: dlib is not installed, or a file is missing.
    """

    def __init__(self, folder: str | Path):
        try:
            import dlib
        except ImportError:
            raise WeightFileError("The identity judge needs dlib: pip install dlib-bin.") from None
        missing = [name for name in (NETWORK, LANDMARKS) if not (Path(folder) / name).is_file()]
        if missing:
            raise WeightFileError(f"{folder} lacks {' and '.join(missing)}: they are in face_recognition_models.")
        self._dlib = dlib
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(Path(folder) / LANDMARKS))
        self._network = dlib.face_recognition_model_v1(str(Path(folder) / NETWORK))

    def to(self, device: object) -> "Identity":
        """Return itself: it computes on the CPU."""
        return self

    def embedding(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Descriptors [N, 128], times 100, of faces [N, 3, R, R] in [-1, 1], aligned as FFHQ's are."""
        return 100 * self.describe(image)[0]

    def describe(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors [N, 128] of faces [N, 3, R, R] in [-1, 1], and whether a face is found in each, bool [N]."""
        descriptors, found = [], []
        for face in quantize(image).cpu():
            pixels = face.permute(1, 2, 0).contiguous().numpy()
            array = np.array(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            boxes, scores, _ = self._detector.run(array, 0, THRESHOLD)
            box = boxes[int(np.argmax(scores))] if boxes else self._dlib.rectangle(*WHOLE)
            chip = self._dlib.get_face_chip(array, self._landmarks(array, box), 150, 0.25)
            descriptors.append(np.array(self._network.compute_face_descriptor(chip), dtype=np.float32))
            found.append(bool(boxes))
        return torch.from_numpy(np.stack(descriptors)), torch.tensor(found)
