"""OpenCV's face detector YuNet (Wu et al. 2023, MIT), where opencv-python-headless is installed."""

from pathlib import Path

import numpy as np
from PIL import Image

from i2s.alignment.geometry import Face
from i2s.errors import SettingsError
from i2s.weights.fetch import fetch

URL = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx"
)
FILE = "opencv/face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
THRESHOLD = 0.7
LONG_SIDES = (320, 640)  # px at which faces are sought: large ones first


def detect(photo: Image.Image, file: Path | None = None) -> list[Face]:
    """Find faces in an RGB photo.

    Args:
        photo: The photo.
        file: The network; None: it is fetched once.

    Raises:
        SettingsError: OpenCV is not installed.
        DownloadError: The file cannot be fetched.
    """
    try:
        import cv2
    except ImportError:
        raise SettingsError(
            "Finding faces needs OpenCV: pip install opencv-python-headless, or give the landmarks yourself."
        ) from None
    file = file or fetch(URL, FILE, SHA256)
    pixels = np.asarray(photo)[:, :, ::-1]
    for long_side in LONG_SIDES:
        scale = min(1.0, long_side / max(photo.size))
        size = tuple(max(1, round(side * scale)) for side in photo.size)
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        _, found = cv2.FaceDetectorYN.create(str(file), "", size, THRESHOLD).detect(small)
        if found is not None:
            back = np.array(photo.size) / size
            return [
                Face((row[4:14].reshape(5, 2).astype(np.float64) + 0.5) * back - 0.5, float(row[14])) for row in found
            ]
        if scale == 1:
            break
    return []
