"""FFHQ's crop from five landmarks (Karras et al. 2019, appendix A).

Landmarks are [5, 2], x and y in pixels of the photo: the eye on the left of an upright face, the eye on its right, the
nose tip, the left and the right corner of the mouth. The centre of the photo's first pixel is (0, 0).
"""

from dataclasses import dataclass

import numpy as np

EYES, MOUTH = (0, 1), (3, 4)  # rows of the landmarks


def face_square(landmarks: np.ndarray) -> np.ndarray:
    """Corners [4, 2] of the aligned crop, clockwise from its upper left, for landmarks [5, 2].

    With e the vector from eye to eye and m from the eyes' middle to the mouth's, the crop's horizontal half side is
    e - rot90(m), brought to the length max(2 |e|, 1.8 |m|); its centre lies at the eyes' middle + m / 10.
    """
    left, right = landmarks[list(EYES)]
    eyes = (left + right) / 2
    across = right - left
    down = landmarks[list(MOUTH)].mean(0) - eyes
    half = across + np.array([down[1], -down[0]])  # m turned to point across
    half = half / max(np.hypot(*half), 1e-9) * max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    side = np.array([-half[1], half[0]])  # the same, downwards
    centre = eyes + 0.1 * down
    return np.stack([centre - half - side, centre + half - side, centre + half + side, centre - half + side])


@dataclass(frozen=True)
class Face:
    """A face in a photo."""

    landmarks: np.ndarray  # [5, 2], float64
    score: float  # 0..1, how sure the detector is

    @property
    def side(self) -> float:
        """Side of its aligned crop, px."""
        square = face_square(self.landmarks)
        return float(np.linalg.norm(square[1] - square[0]))
