"""Films: GIF for anywhere, MP4 (H.264) for slides; the ffmpeg that this takes comes with imageio-ffmpeg."""

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from i2s.errors import ImageError, OutputError, SettingsError
from i2s.files import write_atomically
from i2s.images import listed, to_pil, to_uint8

ENDINGS = (".gif", ".mp4")
PALETTE_SIDE = 128  # px of the copy that a GIF's colours are chosen from: enough, and quick
MAX_FPS = {".gif": 50, ".mp4": 120}  # a GIF counts in 1/100 s, and players slow down frames below 2/100 s


def write_video(frames, path: str | Path, fps: float = 12, *, boomerang: bool = False, loop: bool = True) -> Path:
    """Write frames as a film; the ending, .gif or .mp4, chooses the format. Returns where it is.

    frames: a tensor [N, 3, H, W] in [-1, 1], a uint8 array [N, H, W, 3], or a list of images of one size
    (tensors [3, H, W] or [1, 3, H, W], PIL pictures, arrays).
    fps: frames a second, 0.1 to 120; in a GIF at most 50, rounded to hundredths of a second a frame.
    boomerang: play forth and back; the two ends are shown once each, so that it goes round smoothly.
    loop: whether a GIF starts again at its end. In an MP4 sides are even: an odd one repeats its last line.
    The file is complete before it takes the place of an older one. ImageError, SettingsError, OutputError.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise OutputError(f"{path} has none of the endings {', '.join(ENDINGS)}: choose one of them.")
    if not isinstance(fps, (int, float, np.number)) or not 0.1 <= fps <= MAX_FPS[ending]:
        raise SettingsError(f"fps is {fps}, but a {ending} takes 0.1 to {MAX_FPS[ending]}.")
    pixels = _pixels(frames)  # [N, H, W, 3]
    if boomerang:
        pixels = np.concatenate([pixels, pixels[-2:0:-1]])
    data = _gif(pixels, fps, loop, path) if ending == ".gif" else _mp4(pixels, fps, path)
    return write_atomically(path, data)


def _pixels(frames) -> np.ndarray:
    """The frames as uint8 [N, H, W, 3]; ImageError when they are none."""
    if isinstance(frames, Tensor):
        return to_uint8(frames)
    if isinstance(frames, np.ndarray):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise ImageError(
                f"The frames are {frames.dtype} of shape {list(frames.shape)}: give uint8 [N, H, W, 3], "
                "or a tensor [N, 3, H, W] in [-1, 1]."
            )
        return frames
    pictures = [np.asarray(to_pil(frame)) for frame in listed(frames)]  # each [H, W, 3]
    if not pictures:
        raise ImageError("A film of no frames: give at least one.")
    if len({picture.shape for picture in pictures}) > 1:
        sizes = ", ".join(sorted({f"{p.shape[1]} x {p.shape[0]}" for p in pictures}))
        raise ImageError(f"The frames differ in size ({sizes}): give frames of one size.")
    return np.stack(pictures)


def _gif(pixels: np.ndarray, fps: float, loop: bool, path: Path) -> bytes:
    """GIF: each frame with 256 colours of its own, dithered.

    Maximum coverage and k-means keep small patches of a strong colour; the usual median cut turns lips grey.
    """
    frames = []
    for frame in map(Image.fromarray, pixels):
        small = frame.resize([min(side, PALETTE_SIDE) for side in frame.size], Image.Resampling.NEAREST)
        palette = small.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
        frames.append(frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    buffer = io.BytesIO()
    again = {"loop": 0} if loop else {}
    delay = 10 * round(100 / fps)  # ms, of which a GIF counts tens
    try:
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=delay, **again)
    except (OverflowError, ValueError, struct.error) as error:  # equal frames become one, which stands for all of them
        raise OutputError(
            f"{path} cannot be a GIF, whose sides are of at most 65535 px and whose pictures stand for at most 655 s: "
            "write an .mp4, or shorten the film."
        ) from error
    return buffer.getvalue()


def _mp4(pixels: np.ndarray, fps: float, path: Path) -> bytes:
    """H.264 with the colours of BT.709, and a note that says so, as players and browsers expect."""
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg
    except ImportError as error:
        raise OutputError(f"{path} needs imageio-ffmpeg: install it, or write a .gif.") from error

    colours = "scale=out_color_matrix=bt709:out_range=tv"
    note = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    options = ["-crf", "16", "-vf", f"{colours},{note}", "-movflags", "+faststart"]
    odd = ((0, pixels.shape[1] % 2), (0, pixels.shape[2] % 2), (0, 0))  # 4:2:0 needs even sides
    cause = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            film = Path(folder) / "film.mp4"
            with imageio.get_writer(
                film,
                format="FFMPEG",
                mode="I",
                fps=fps,
                codec="libx264",
                pixelformat="yuv420p",
                macro_block_size=1,  # else imageio scales the frames to multiples of 16
                ffmpeg_log_level="quiet",
                output_params=options,
            ) as writer:
                for frame in pixels:
                    writer.append_data(np.pad(frame, odd, mode="edge"))
            if imageio_ffmpeg.count_frames_and_secs(film)[0] == len(pixels):
                return film.read_bytes()
    except (OSError, RuntimeError) as error:
        cause = error
    # ffmpeg's own failures, such as a full disk, are silent: the count tells
    raise OutputError(
        f"{path} could not be encoded: free some space in the folder of temporary files, or write a .gif."
    ) from cause
