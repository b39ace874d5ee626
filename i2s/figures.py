"""Figures of images: contact sheets, and videos as GIF or MP4 (H.264, by the ffmpeg of imageio-ffmpeg)."""

import io
import struct
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from i2s.errors import I2SError, ImageError, OutputError, SettingsError, one_line
from i2s.files import check_replaceable, local_path, write_atomically
from i2s.images import as_list, to_pil, to_uint8

PAPER, INK = "#FFFFFF", "#1A1A1A"
FONT = "DejaVu Sans"  # comes with matplotlib, and has Greek letters and arrows
DPI = 64  # so that figure sizes in inches are exact
MIN_CELL = 128  # px: narrower cells leave no room for a legible label
MAX_PIXELS = 100_000_000  # of a sheet: 400 MB

ENDINGS = (".gif", ".mp4")
PALETTE_SIDE = 128  # px of the copy that a GIF's colours are chosen from: enough, and quick
MAX_FPS = {".gif": 50, ".mp4": 120}  # a GIF counts in 1/100 s, and players slow down frames below 2/100 s


@contextmanager
def default_style(**settings: object) -> Iterator[None]:
    """Context manager: Matplotlib's default settings and these, whatever style or matplotlibrc the user has.

    Args:
        settings: rcParams, with an underscore for each dot: font_size=11.
    """
    from matplotlib import rc_context, rcParamsDefault

    own = {name: value for name, value in rcParamsDefault.items() if not name.startswith(("backend", "interactive"))}
    with rc_context({**own, **{name.replace("_", ".", 1): value for name, value in settings.items()}}):
        yield


# ---- contact sheets --------------------------------------------------------------------------------------------------


def contact_sheet(
    images: Tensor | Sequence,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    *,
    title: str = "",
    size: int | None = None,
    smooth: bool = True,
) -> Image.Image:
    """Arrange images in rows on white, with labels below them.

    Args:
        images: A tensor [N, 3, H, W] in [-1, 1], or a list of what `to_pil` takes, of any sizes.
        columns: Images in a row; None: as near to a square as fits a 3:2 screen.
        labels: One for each image.
        title: Text above the images.
        size: Px of a cell, to which images are fitted; None: the largest image's, but at least 128.
        smooth: Enlarge small images smoothly (Lanczos), as suits photos; else by whole numbers, so that each of their
            pixels stays visible, as suits feature maps.

    Raises:
        ImageError: There is no image, or one cannot be read.
        SettingsError: The labels are not one per image, or the sheet would be too large.
    """
    pictures = [to_pil(image) for image in as_list(images)]
    if not pictures:
        raise ImageError("A contact sheet of no images: give at least one.")
    if labels is not None and len(labels) != len(pictures):
        raise SettingsError(f"There are {len(labels)} labels for {len(pictures)} images: give one for each.")
    columns = max(1, round((1.5 * len(pictures)) ** 0.5)) if columns is None else columns
    if columns < 1 or (size is not None and size < 1):
        raise SettingsError("A contact sheet has at least one column, and cells of at least 1 px.")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)

    # Sizes in px
    cell = size or max(MIN_CELL, *(max(picture.size) for picture in pictures))
    sizes = [_fitted(*picture.size, cell, smooth) for picture in pictures]
    width = max(w for w, _ in sizes)
    height = max(h for _, h in sizes)
    gap = max(6, width // 16)
    margin = max(12, width // 8)
    wide = 2 * margin + columns * (width + gap) - gap
    label_size = _largest_size([str(label) for label in labels or ()], width, start=min(32, max(14, width // 9)))
    texts = [_shortened(str(label), label_size, width + gap // 2) for label in labels or ()]
    label_height = _height(texts, label_size) + label_size // 3 if texts else 0
    title_size = min(48, max(18, wide // 28))
    title = _shortened(title, title_size, wide - 2 * margin)
    title_height = _height([title], title_size) + gap if title else 0
    high = 2 * margin + title_height + rows * (height + label_height + gap) - gap
    if wide * high > MAX_PIXELS:
        raise SettingsError(f"The sheet would be {wide} x {high} px: show fewer images or give a size.")

    # Text first, then the images beside it, pixel by pixel
    places = [
        (margin + k % columns * (width + gap), margin + title_height + k // columns * (height + label_height + gap))
        for k in range(len(pictures))
    ]
    below = height + label_size // 3
    lines = [(left + width / 2, top + below, label_size, "center", text) for (left, top), text in zip(places, texts)]
    sheet = _text_on_paper(wide, high, [(margin, margin, title_size, "left", title), *lines])
    for picture, fitted, (left, top) in zip(pictures, sizes, places):
        sharp = not smooth and fitted[0] >= picture.width
        picture = picture.resize(fitted, Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
    return sheet


def _fitted(width: int, height: int, cell: int, smooth: bool) -> tuple[int, int]:
    """Size of an image in a cell: as large as fits, but where it is not smoothed a whole number of times its own."""
    longest = max(width, height)
    if smooth or longest > cell:
        return max(1, round(width * cell / longest)), max(1, round(height * cell / longest))
    return width * (cell // longest), height * (cell // longest)


def _text_on_paper(width: int, height: int, texts: Sequence[tuple[float, float, int, str, str]]) -> Image.Image:
    """Draw texts on white paper; each is x, y (of its top) and size in px, alignment, and the text itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with default_style(), warnings.catch_warnings():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
        canvas = FigureCanvasAgg(figure)
        for x, y, size, align, text in texts:
            figure.text(
                x / width, 1 - y / height, text, ha=align, va="top", color=INK, linespacing=1.1,
                fontfamily=FONT, fontsize=size * 72 / DPI, parse_math=False,
            )  # fmt: skip
        warnings.simplefilter("ignore")  # of letters that the font does not have
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _height(texts: Sequence[str], size: int) -> int:
    """Px that the tallest of the texts takes."""
    return round(1.3 * size) * max(text.count("\n") + 1 for text in texts)


def _width(line: str, size: int) -> float:
    """Px that a line takes at a font size of `size` px."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font does not have
        return TextToPath().get_text_width_height_descent(line, FontProperties(FONT, size=size), ismath=False)[0]


def _largest_size(texts: Sequence[str], width: int, start: int) -> int:
    """The largest font size at which the texts fit, from `start` px down to two thirds of it, never below 12."""
    lines = [_printable(line) for text in texts for line in text.split("\n")]
    sizes = range(start, max(12, start * 2 // 3) - 1, -1)
    return next((size for size in sizes if all(_width(line, size) <= width for line in lines)), sizes[-1])


def _shortened(text: str, size: int, width: int) -> str:
    """Cut each line of a text to `width` px, with an ellipsis."""
    lines = []
    for whole in map(_printable, text.split("\n")):
        line = whole
        while line and _width(line if line == whole else f"{line}…", size) > width:
            line = line[:-1]
        lines.append(line if line == whole else f"{line.rstrip()}…")
    return "\n".join(lines)


def _printable(line: str) -> str:
    """Replace what cannot be drawn, as names of files may hold, by spaces."""
    return "".join(c if c.isprintable() else " " for c in line)


# ---- videos ----------------------------------------------------------------------------------------------------------


def write_video(
    frames: Tensor | np.ndarray | Iterable,
    path: str | Path,
    fps: float = 12,
    *,
    boomerang: bool = False,
    loop: bool = True,
) -> Path:
    """Write frames as a video.

    Args:
        frames: A tensor [N, 3, H, W] in [-1, 1], a uint8 array [N, H, W, 3], or images of one size (tensors [3, H, W]
            or [1, 3, H, W], PIL images, arrays) from a list or a generator, of which one at a time is in memory.
        path: The ending, .gif or .mp4, chooses the format. The file is complete before it takes the place of an
            older one. In an MP4 sides are even: an odd one repeats its last line.
        fps: Frames per second, 0.1 to 120; in a GIF at most 50, rounded to hundredths of a second a frame.
        boomerang: Play forth and back; the two ends are shown once each, so that it loops smoothly.
        loop: Start a GIF again at its end.

    Returns:
        The file's path.

    Raises:
        ImageError: The frames are no images of one size.
        SettingsError: No such video has this `fps`.
        OutputError: The file cannot be written.
    """
    path = check_video(path, fps)
    pixels = _there_and_back(_pixels(frames)) if boomerang else _pixels(frames)
    data = _gif(pixels, fps, loop, path) if path.suffix.lower() == ".gif" else _mp4(pixels, fps, path)
    return write_atomically(path, data)


def check_video(path: str | Path, fps: float = 12) -> Path:
    """Check that a video of this name and speed can be written, before its frames are made.

    Returns:
        The file's path, `~` being the home folder.

    Raises:
        SettingsError: No such video has this `fps`.
        OutputError: The name cannot be that of a video.
    """
    path = local_path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise OutputError(f"{path} has none of the endings {', '.join(ENDINGS)}: choose one of them.")
    if not isinstance(fps, (int, float, np.number)) or not 0.1 <= fps <= MAX_FPS[ending]:
        raise SettingsError(f"fps is {fps}, but a {ending} takes 0.1 to {MAX_FPS[ending]}.")
    if ending == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError as error:
            raise OutputError(f"{path} needs imageio-ffmpeg: install it, or write a .gif.") from error
    check_replaceable(path)
    return path


def _there_and_back(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Iterate over the frames, uint8 [H, W, 3], and then back; meanwhile they lie in a file, as they may be many."""
    try:
        with tempfile.TemporaryFile() as file:
            for frame in frames:
                file.write(np.ascontiguousarray(frame))
                yield frame
            for k in range(file.tell() // frame.nbytes - 2, 0, -1):
                file.seek(k * frame.nbytes)
                yield np.frombuffer(file.read(frame.nbytes), np.uint8).reshape(frame.shape)
    except I2SError:
        raise
    except OSError as error:
        raise OutputError(
            f"The frames could not be kept ({one_line(error)}): free some space in the folder of temporary files."
        ) from error


def _pixels(frames: Tensor | np.ndarray | Iterable) -> Iterator[np.ndarray]:
    """Convert frames to uint8 [H, W, 3], one after the other; ImageError for what are none."""
    if isinstance(frames, Tensor):
        if frames.ndim == 4 and len(frames):
            return (to_uint8(frame)[0] for frame in frames)
        return iter(to_uint8(frames))
    if isinstance(frames, np.ndarray):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise ImageError(
                f"The frames are {frames.dtype} of shape {list(frames.shape)}: give uint8 [N, H, W, 3], "
                "or a tensor [N, 3, H, W] in [-1, 1]."
            )
        return iter(frames)
    return _equal_sizes(frames if isinstance(frames, Iterator) else as_list(frames))


def _equal_sizes(frames: Iterable) -> Iterator[np.ndarray]:
    shape = None
    for frame in frames:
        pixels = np.asarray(to_pil(frame))  # [H, W, 3]
        if shape is not None and pixels.shape != shape:
            sizes = ", ".join(sorted(f"{width} x {height}" for height, width, _ in (shape, pixels.shape)))
            raise ImageError(f"The frames differ in size ({sizes}): give frames of one size.")
        shape = pixels.shape
        yield pixels
    if shape is None:
        raise ImageError("A video of no frames: give at least one.")


def _gif(pixels: Iterator[np.ndarray], fps: float, loop: bool, path: Path) -> bytes:
    """Encode as GIF: each frame with its own palette of 256 colours, dithered.

    Maximum coverage and k-means keep small patches of a strong colour; the usual median cut turns lips grey.
    """
    frames = map(_with_palette, pixels)
    buffer = io.BytesIO()
    again = {"loop": 0} if loop else {}
    delay = 10 * round(100 / fps)  # ms, of which a GIF counts tens
    try:
        next(frames).save(buffer, "GIF", save_all=True, append_images=frames, duration=delay, **again)
    except I2SError:
        raise
    except (OverflowError, ValueError, struct.error) as error:  # equal frames become one, which stands for all of them
        raise OutputError(
            f"{path} cannot be a GIF, whose sides are of at most 65535 px and whose pictures stand for at most 655 s: "
            "write an .mp4, or shorten the video."
        ) from error
    return buffer.getvalue()


def _with_palette(pixels: np.ndarray) -> Image.Image:
    """Convert a frame to 256 colours of its own."""
    frame = Image.fromarray(pixels)
    small = frame.resize([min(side, PALETTE_SIDE) for side in frame.size], Image.Resampling.NEAREST)
    palette = small.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    return frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _mp4(pixels: Iterator[np.ndarray], fps: float, path: Path) -> bytes:
    """Encode as H.264 in the colours of BT.709, tagged as such, as players and browsers expect."""
    import imageio.v2 as imageio
    import imageio_ffmpeg

    first = next(pixels)  # before the encoder starts: it raises what is wrong with the frames
    count = 0  # of frames
    colours = "scale=out_color_matrix=bt709:out_range=tv"
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    cause = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "video.mp4"
            with imageio.get_writer(
                video,
                format="FFMPEG",
                fps=fps,
                codec="libx264",
                pixelformat="yuv420p",
                macro_block_size=1,  # else imageio scales the frames to multiples of 16
                ffmpeg_log_level="quiet",
                output_params=["-crf", "16", "-vf", f"{colours},{tags}", "-movflags", "+faststart"],
            ) as writer:
                for frame in chain([first], pixels):
                    count += 1
                    odd = (0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)  # 4:2:0 needs even sides
                    writer.append_data(np.pad(frame, odd, mode="edge"))
            if imageio_ffmpeg.count_frames_and_secs(video)[0] == count:
                return video.read_bytes()
    except I2SError:
        raise
    except (OSError, RuntimeError) as error:
        cause = error
    # ffmpeg's own failures, such as a full disk, are silent: the count tells
    raise OutputError(
        f"{path} could not be encoded: free some space in the folder of temporary files, or write a .gif."
    ) from cause
