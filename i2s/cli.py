"""The command `i2s`: embed photos, morph results, inspect and convert weight files.

Every error of the user's input, files or machine is one sentence and an exit code of its own (`i2s.errors`);
`--debug` shows the traceback.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2s.console import Interrupts, tolerant_streams
from i2s.errors import I2SError, ImageError, LatentError, OutputError, SettingsError, WeightFileError, one_line
from i2s.files import check_folder, check_replaceable, format_of, local_path
from i2s.inputs import STANDARD_INPUT, check_standard_input, find_files, find_photos, read_standard_input

if TYPE_CHECKING:  # torch is imported by the commands that need it: --help is quick
    from torch import Tensor

    from i2s.embedding.result import EmbedResult
    from i2s.generators.base import Generator

SHEET = "sheet.png"  # the contact sheet of `i2s embed`
FPS = 12  # of a morph
HOLD = 8  # times that a video shows its last frame
LONGEST_NAME = 255  # bytes of a file's name
NUMBER = 6  # bytes of a name that are left for a number
LATENT_ENDINGS = (".npz", ".npy", ".pt", ".pth", ".pkl")  # codes of other tools
BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells have it


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    with tolerant_streams() as stdout, Interrupts() as interrupts:
        try:
            options = parser().parse_args(arguments)
            options.interrupts = interrupts
            code = _run(options)
        except KeyboardInterrupt:
            print("i2s: stopped.", file=sys.stderr)
            code = interrupts.exit_code
        stdout.flush()
        if stdout.error is None or code:
            return code
        if isinstance(stdout.error, BrokenPipeError):
            return BROKEN_PIPE
        print(f"i2s: Standard output could not be written ({one_line(stdout.error)}).", file=sys.stderr)
        return OutputError.exit_code


def _run(options: argparse.Namespace) -> int:
    """Run the function of the command; its errors become sentences and exit codes."""
    try:
        return options.run(options) or 0
    except I2SError as error:
        if options.debug:
            raise
        print(f"i2s: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if options.debug:
            raise
        print(f"i2s: {_explain(error)} (i2s --debug shows the details)", file=sys.stderr)
        return 1


def _explain(error: Exception) -> str:
    """One sentence for an unexpected error."""
    message = str(error)
    full = "out of memory", "can't allocate memory", "not enough memory"  # a GPU; a CPU on Linux and elsewhere
    if isinstance(error, MemoryError) or any(words in message.lower() for words in full):
        return "The memory is full: embed fewer photos at once."
    return f"Unexpected {type(error).__name__}: {message.partition(chr(10))[0]}"


def parser() -> argparse.ArgumentParser:
    """Build the command line; each command names the function that runs it."""
    from i2s import __version__

    top = argparse.ArgumentParser(
        prog="i2s",
        description="Image2StyleGAN: embed photos into a StyleGAN and edit them there.",
        epilog="No output replaces an input, or a file that the command cannot tell to be an earlier output of its "
        "own; morph and convert replace a file only with --force.",
    )
    top.add_argument("--version", action="version", version=f"i2s {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _embed_options(_command(commands, "embed", cmd_embed, "find the latent codes of photos"))
    _morph_options(_command(commands, "morph", cmd_morph, "blend results"))
    _generator_options(_command(commands, "info", cmd_info, "show device, generator and networks"))
    inspect = _command(commands, "inspect", cmd_inspect, "show what is in a weight file")
    inspect.add_argument("file", metavar="FILE")
    convert = _command(commands, "convert", cmd_convert, "weights to safetensors; codes for other tools")
    convert.add_argument("file", metavar="FILE", help="weight file, name of `i2s generators`, or file of a code")
    convert.add_argument("out", metavar="OUT", help=".safetensors for weights; .npz (key w), .npy or .pt for a code")
    convert.add_argument("--half", action="store_true", help="half the size, at half precision")
    _class_option(convert)
    _force_option(convert)
    _command(commands, "generators", cmd_generators, "list the known generators")
    return top


def _command(commands, name: str, run, help: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help, description=run.__doc__)
    command.set_defaults(run=run)
    return command


def _embed_options(embed: argparse.ArgumentParser) -> None:
    add = embed.add_argument
    add("photos", nargs="+", metavar="PHOTO", help="a file, a pattern, a folder, or - for standard input")
    add("-o", "--out", default="i2s-out", help="folder of the results (default i2s-out)")
    presets = "image2stylegan, stylegan2, ii2s, image2stylegan++, pti"
    add("--preset", default="fast", help=f"fast (default), or the settings of a paper: {presets}")
    add("--steps", type=int, help="optimisation steps (default: the preset's; fast 150, the paper 5000)")
    add("--budget", type=float, metavar="SECONDS", help="time for the optimisation, in place of steps")
    add("--space", choices=("z", "w", "w+"), help="latent space of the code (default w+)")
    add("--init", help="initial code: mean, uniform, zeros, nearest, encoder or auto (default: the preset's)")
    add("--start", metavar="FILE", help="initial code: a result, or a code of another tool (.npz, .npy, .pt)")
    add("--seed", type=int, help="of random numbers (default 0)")
    add("--mask", metavar="IMAGE", help="white where pixels count; for inpainting, where they are known")
    add("--task", metavar="TASK", help="inpainting, colorization, super-resolution[:PX] or denoising[:PX]")
    add("--checkpoint", metavar="FILE", help="file to which the state is written every 100 steps")
    add("--resume", action="store_true", help="go on from the checkpoint if it is there")
    _perceptual_option(embed)
    add("--video", choices=("none", "gif", "mp4"), default="none", help="video of the optimisation")
    add("--full-size", action="store_true", help="also NAME-full.png, the photo's own size")
    add("--quiet", action="store_true", help="no progress bar")
    _generator_options(embed)


def _morph_options(morph: argparse.ArgumentParser) -> None:
    add = morph.add_argument
    what = "a .safetensors of `i2s embed`, a .npz, .npy or .pt of another tool, a photo, or - for a photo of standard "
    what += "input; FILE#2 is its second code"
    add("codes", nargs="+", metavar="CODE", help=what)
    add("-o", "--out", default="morph.gif", help=".gif, .mp4 or .png (a contact sheet)")
    add("--frames", type=int, default=24, help="from each code to the next (default 24)")
    add("--fps", type=int, help=f"frames of a video per second (default {FPS})")
    add("--steps", type=int, default=300, help="optimisation steps for photos (default 300)")
    _force_option(morph)
    _perceptual_option(morph)
    _generator_options(morph)


def _perceptual_option(command: argparse.ArgumentParser) -> None:
    names = ("auto", "vgg16", "slim")
    command.add_argument("--perceptual", choices=names, default="auto", help="network of the perceptual loss")


def _generator_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--generator", default=None, help="name or weight file (default: the shipped generator)")
    _class_option(command)
    command.add_argument("--device", default=None, help="cpu, cuda, cuda:1 or mps (default: cuda, else mps, else cpu)")


def _class_option(command: argparse.ArgumentParser) -> None:
    what = "class that a class-conditional generator draws, from 0 on"
    command.add_argument("--class", dest="class_idx", type=int, metavar="K", help=what)


def _force_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--force", action="store_true", help="replace a file of this name; inputs never are")


def _load_generator(options: argparse.Namespace) -> "Generator":
    from i2s.device import choose_device
    from i2s.generators import DEFAULT, load_generator

    _generator_file(options.generator)
    name = DEFAULT if options.generator is None else options.generator
    generator = load_generator(name, choose_device(options.device), class_idx=options.class_idx)
    if options.class_idx is not None:
        generator.name += f", class {options.class_idx}"
    return generator


def _generator_file(name: str | None) -> Path | None:
    """Return the path of --generator, or None for a name of the catalog; WeightFileError for a web address."""
    if name is None:
        return None
    path = local_path(name, WeightFileError, "download the file and give its path, or a name of `i2s generators`")
    return path if os.path.isfile(path) else None


# ---- embed -----------------------------------------------------------------------------------------------------------


def cmd_embed(options: argparse.Namespace) -> int:
    """Find the latent codes of photos; writes NAME.safetensors and NAME.png for each, and a contact sheet."""
    from i2s.figures import check_video
    from i2s.images import load_photos
    from i2s.weights.latents import read_latents

    # Check everything that can be checked before the work
    if options.resume and options.checkpoint is None:
        raise SettingsError("--resume goes on from a checkpoint, but none is given: add --checkpoint FILE.")
    if options.start is not None and options.init is not None:
        raise SettingsError("--start and --init both give the initial code: leave one of them out.")
    out = local_path(options.out)
    checkpoint = None if options.checkpoint is None else local_path(options.checkpoint)
    mask = None if options.mask is None else local_path(options.mask, ImageError, "download the mask")
    photos = find_photos(options.photos)
    video = [] if options.video == "none" else [f".{options.video}"]
    endings = [".safetensors", ".png", *(["-full.png"] if options.full_size else []), *video]
    stems = unique_stems(photos, endings, out)
    generator = _load_generator(options)
    targets = load_photos(photos, generator.resolution)
    task = _task(options.task, mask, generator.resolution, photos)
    start = None if options.start is None else local_path(options.start, LatentError)
    inputs = [photo for photo in photos if isinstance(photo, Path)] + [mask, start, _generator_file(options.generator)]
    files = [stem + ending for stem in stems for ending in endings] + [SHEET]
    check_outputs(out, files, inputs, checkpoint, options.resume)
    if video:
        check_video(out / f"{stems[0]}{video[0]}")

    with options.interrupts.between_steps() as step:
        result = _embed(
            targets,
            generator,
            preset=options.preset,
            start=None if start is None else read_latents(start),
            perceptual=options.perceptual,
            checkpoint=checkpoint,
            resume=options.resume,
            progress=not options.quiet,
            callback=step,
            **task,
            **_settings(options),
        )
        with options.interrupts.deferred(), kept_on_failure([result]):
            print(f"generator: {result.generator}\nimages: {result.way}")
            print(f"perceptual network: {result.perceptual or 'none'}")
            _write_results(result, stems, out, photos, mask, options)
    if result.stopped:
        more = "; --resume goes on from the checkpoint" if checkpoint and checkpoint.exists() else ""
        print(f"i2s: ended early ({result.stopped}); what was found is saved{more}.", file=sys.stderr)
        return options.interrupts.exit_code if result.interrupted else 1
    return options.interrupts.exit_code if options.interrupts.received else 0


def _embed(photos: Any, generator: "Generator", **keywords: Any) -> "EmbedResult":
    """Embed, and print the result's notices; an interrupted one is a result as well."""
    import warnings

    from i2s import embed
    from i2s.embedding import EmbedInterrupted

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notices
        try:
            result = embed(photos, generator, **keywords)
        except EmbedInterrupted as stop:
            result = stop.result
    for notice in result.notices:
        print(f"i2s: {notice}", file=sys.stderr)
    return result


def _settings(options: argparse.Namespace) -> dict:
    """Settings that were given on the command line; the others are the preset's."""
    names = ("steps", "budget", "space", "init", "seed")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _task(task: str | None, mask: Path | None, resolution: int, photos: "list[Path | bytes]") -> dict:
    """Mask and degradation for `embed`: a mask hides pixels for inpainting, and weighs them otherwise."""
    from i2s.embedding import degradation_for
    from i2s.images import load_mask

    weights = None if mask is None else load_mask(mask, resolution, photos)
    if task is None:
        return {"mask": weights}
    hides = task.partition(":")[0] == "inpainting"
    return {"degradation": degradation_for(task, resolution, weights), "mask": None if hides else weights}


def _write_results(
    result: "EmbedResult",
    stems: list[str],
    out: Path,
    photos: list[Path | bytes],
    mask: Path | None,
    options: argparse.Namespace,
) -> None:
    """Write the result of each photo, the codes first, and the contact sheet."""
    from i2s.embedding import full_size
    from i2s.figures import contact_sheet
    from i2s.images import write_image

    singles = [result.select(k) for k in range(len(stems))]
    for stem, one in zip(stems, singles):
        one.save(out / f"{stem}.safetensors")
        print(f"{out / stem}.safetensors  loss {one.loss[0, 0]:.4f} -> {one.loss[-1, 0]:.4f}")
    for stem, one, photo in zip(stems, singles, photos):
        write_image(one.image, out / f"{stem}.png")
        if options.full_size:
            write_image(full_size(one.image, photo, options.task or "", mask), out / f"{stem}-full.png")
        if options.video != "none":
            _write_history(one, out / f"{stem}.{options.video}")
    pairs = [image for one in singles for image in (one.target, one.image)]
    labels = [text for stem in stems for text in (stem, "embedded")]
    write_image(contact_sheet(pairs, columns=min(8, len(pairs)), labels=labels), out / SHEET)
    print(f"{out / SHEET}  photos beside their embeddings; {result.steps} steps in {result.seconds:.1f} s")


def _write_history(result: "EmbedResult", path: Path) -> None:
    """Write a video of the optimisation: its snapshots, the last one held."""
    from i2s.figures import write_video

    frames = result.frames[:, 0].permute(0, 2, 3, 1).numpy()  # [S, H, W, 3]
    write_video(frames[[*range(len(frames)), *[-1] * HOLD]], path, fps=8)


def unique_stems(photos: list[Path | bytes], endings: list[str], folder: Path) -> list[str]:
    """Name each photo's results: its stem, shortened if it is too long, numbered if STEM + ending is taken already.

    It is taken by another of these photos, or in the folder by the result of another one of that name. Upper and lower
    case are the same, as they are in the file systems of macOS and Windows.
    """
    stems: list[str] = []
    taken = {SHEET}
    room = LONGEST_NAME - NUMBER - max(map(len, endings))
    for photo in photos:
        first = "stdin" if isinstance(photo, bytes) else photo.stem or "photo"
        while len(os.fsencode(first)) > room:
            first = first[:-1]
        stem = first
        number = 2
        while not taken.isdisjoint(files := [(stem + ending).casefold() for ending in endings]) or _is_of_another(
            folder / f"{stem}.safetensors", photo
        ):
            stem, number = f"{first}-{number}", number + 1
        taken.update(files)
        stems.append(stem)
    return stems


def _is_of_another(path: Path, photo: Path | bytes) -> bool:
    """True if a file is the result of another photo."""
    from i2s.embedding import result as results
    from i2s.images import load_photos

    if not os.path.isfile(path) or format_of(path) != results.FORMAT:
        return False
    try:
        target = results.EmbedResult.load(path).target  # [N, 3, R, R]
        return len(target) != 1 or not load_photos([photo], target.shape[-1]).equal(target)
    except I2SError:  # what cannot be read is said elsewhere
        return False


def check_outputs(
    folder: Path, files: list[str], inputs: list[Path | None], checkpoint: Path | None, resume: bool = False
) -> None:
    """Check, before the work, that the results can be written, and replace nothing but results.

    Args:
        folder: Folder of the results.
        files: Their names.
        inputs: Files that are read, and must not be overwritten.
        checkpoint: File of the checkpoint.
        resume: It is read first.

    Raises:
        OutputError: A folder cannot be written to, or a result would overwrite an input or a file of another kind.
    """
    from i2s.embedding import checkpoint as checkpoints
    from i2s.embedding import result as results

    written = [folder / file for file in files]
    if checkpoint is not None:
        check_folder(checkpoint.parent)
        # as Windows and macOS compare names
        if str(checkpoint.resolve()).casefold() in [str(path.resolve()).casefold() for path in written]:
            raise OutputError(f"The checkpoint {checkpoint} would be overwritten by a result: give it another name.")
    check_folder(folder)
    for given in inputs:
        if given is not None and any(_same(given, path) for path in [*written, *([checkpoint] if checkpoint else [])]):
            raise OutputError(f"{given} would be overwritten by a result: choose another folder with --out.")
    there = {path for path in written if os.path.exists(path)}
    earlier = {path.stem for path in folder.glob("*.safetensors")}  # afterwards: another process may write just now
    for path in written:
        check_replaceable(path, results.FORMAT if path.suffix == ".safetensors" else None)
        stem = path.stem.removesuffix("-full")
        if path in there and not (earlier if path.name == SHEET else earlier & {path.stem, stem}):
            raise OutputError(f"{path} exists and is no result of i2s embed: choose another folder with --out.")
    if checkpoint is not None and not resume:
        check_replaceable(checkpoint, checkpoints.FORMAT)


@contextmanager
def kept_on_failure(results: "list[EmbedResult]") -> Iterator[None]:
    """If something fails or is stopped within, save the result, if there is one, and say where."""
    try:
        yield
    except BaseException as error:
        place = _save_somewhere(results[0]) if results else None
        if place is None:
            raise
        if isinstance(error, I2SError):
            raise type(error)(f"{error} What was found is in {place}.") from error
        print(f"i2s: What was found is in {place}.", file=sys.stderr)
        raise


def _save_somewhere(result: "EmbedResult") -> Path | None:
    """Save a result whose own place failed to the first folder that takes it; None if no folder does."""
    name = f"i2s-embedding-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.safetensors"
    for folder in (tempfile.gettempdir, Path.home, Path.cwd):
        try:
            return result.save(Path(folder()) / name)
        except (OSError, RuntimeError):  # OutputError; no such folder
            continue
    return None


def check_new(path: Path, force: bool) -> None:
    """OutputError if a file of this name is there, unless it may be replaced."""
    if not force and os.path.isfile(path) and os.path.getsize(path):
        raise OutputError(f"{path} exists: choose another name, or add --force to replace it.")


def _same(a: Path, b: Path) -> bool:
    return os.path.exists(a) and os.path.exists(b) and os.path.samefile(a, b)


# ---- morph -----------------------------------------------------------------------------------------------------------


def cmd_morph(options: argparse.Namespace) -> int:
    """Blend embeddings, w = lambda w1 + (1 - lambda) w2, each with the next, as a video or a contact sheet."""
    from i2s.edits import morph_through
    from i2s.figures import check_video, contact_sheet, write_video
    from i2s.images import load_photos, to_pil, write_image

    # Check everything that can be checked before the work
    if options.frames < 2:
        raise SettingsError("A morph needs at least 2 frames: give --frames 2 or more.")
    out = local_path(options.out)
    if out.suffix.lower() not in (".gif", ".mp4", ".png"):
        raise OutputError(f"{out} has none of the endings .gif, .mp4, .png: choose one of them.")
    check_standard_input(options.codes)
    files = [file for argument in options.codes for file in _code_files(argument)]  # each with a number or None
    for given in [*(path for path, _ in files), _generator_file(options.generator)]:
        if isinstance(given, Path) and _same(given, out):
            raise OutputError(f"{given} would be overwritten by the morph: choose another name with --out.")
    fps = FPS if options.fps is None else options.fps
    if out.suffix.lower() != ".png":
        check_video(out, fps)
    elif options.fps is not None:
        raise SettingsError(f"--fps is for videos, but {out} is to be a contact sheet: leave it out.")
    else:
        check_replaceable(out)
    check_new(out, options.force)
    generator = _load_generator(options)
    codes = [_load_codes(path, number, generator) for path, number in files]  # None for a photo
    photos = [path for (path, _), code in zip(files, codes) if code is None]
    targets = load_photos(photos, generator.resolution) if photos else None
    if sum(1 if code is None else len(code) for code in codes) < 2:
        raise SettingsError("A morph needs at least two codes: give another result or photo.")
    check_folder(out.parent)

    # Embed the photos, all at once
    results: list[EmbedResult] = []
    with kept_on_failure(results):
        if photos:
            keywords = {"steps": options.steps, "perceptual": options.perceptual}
            with options.interrupts.between_steps() as step:
                results.append(_embed(targets, generator, callback=step, **keywords))
            if results[0].interrupted or options.interrupts.received:
                raise KeyboardInterrupt
        found = iter(results[0].w_plus if results else [])
        w_plus = [w for code in codes for w in ([next(found)] if code is None else code)]
        frames = _images(generator, morph_through(w_plus, options.frames))
        if out.suffix.lower() == ".png":
            images = [to_pil(image) for image in frames]
            write_image(contact_sheet(images, columns=min(len(images), 8)), out)
        else:
            write_video(frames, out, fps=fps, boomerang=True)
    print(out)
    return 0


def _images(generator: "Generator", w_plus: "Tensor") -> "Iterator[Tensor]":
    """Generate the images of codes, one after the other, as all of them may be too many for the memory."""
    import torch

    for w in w_plus:
        with torch.no_grad():
            image = generator.synthesis(w[None].to(generator.device)).cpu()  # [1, 3, R, R]
        yield image


def _code_files(argument: str) -> list[tuple[Path | bytes, int | None]]:
    """Return the files of an argument of `i2s morph`, the bytes of standard input, and of FILE#K the number K."""
    advice = "download the file and give its path"
    if argument == STANDARD_INPUT:
        return [(read_standard_input(), None)]
    name, mark, number = argument.rpartition("#")
    if mark and number.isdecimal() and not os.path.exists(local_path(argument, LatentError, advice)):
        return [(path, int(number)) for path in find_files(name, LatentError, advice)]
    return [(path, None) for path in find_files(argument, LatentError, advice)]


def _load_codes(path: Path | bytes, number: int | None, generator: "Generator") -> "Tensor | None":
    """Load the W+ codes [N, num_ws, w_dim] of a file, or the one of that number; None for a photo."""
    from i2s import EmbedResult
    from i2s.generators.file import is_safetensors

    if isinstance(path, bytes):
        return None
    ending = path.suffix.lower()
    if ending in (".csv", ".txt", ".json", ".h5", ".hdf5", ".mat"):
        raise LatentError(f"{path} is neither a photo nor a code that i2s reads: save the code as .npz, .npy or .pt.")
    if ending not in (".safetensors", *LATENT_ENDINGS):
        if number is not None:
            raise LatentError(f"{path} is no file of codes, and has no code {number}: leave out #{number}.")
        return None
    ours = ending == ".safetensors" and (format_of(path) is not None or not is_safetensors(path))
    result = EmbedResult.load(path) if ours else None  # which says what is wrong with a damaged one
    w_plus = _codes_of_other_tools(path, generator) if result is None else result.w_plus
    if w_plus.shape[1:] != (generator.num_ws, generator.w_dim):
        raise LatentError(
            f"{path} holds a code of shape {list(w_plus.shape[1:])}, but this generator takes "
            f"[{generator.num_ws}, {generator.w_dim}]: embed the photo with the same --generator."
        )
    chosen = _numbered(w_plus, number, path)
    if number is None and len(w_plus) > 1:
        print(
            f"i2s: {path} holds {len(w_plus)} codes, which all take part: {path}#1 is the first alone.",
            file=sys.stderr,
        )
    if result is not None and result.generator != generator.describe():
        other = f"{path} is a code of another generator, {result.generator}"
        print(f"i2s: {other}: its image is another one here.", file=sys.stderr)
    if result is not None and (any(result.tuned) or any(noise.ndim == 4 for noise in result.noise)):
        print(
            f"i2s: {path} has weights or noise maps of its own, which the morph leaves out: it blends codes alone.",
            file=sys.stderr,
        )
    return chosen


def _numbered(codes: "Tensor", number: int | None, path: Path) -> "Tensor":
    """Return all codes of a file, or the one of that number, counted from 1."""
    if number is None:
        return codes
    if not 1 <= number <= len(codes):
        raise LatentError(f"{path} has no code {number}: it holds {len(codes)}, counted from 1.")
    return codes[number - 1 : number]


def _codes_of_other_tools(path: Path, generator: "Generator") -> "Tensor":
    """Load codes of another tool as [N, num_ws, w_dim]; one row for a photo is that of all layers."""
    from i2s.weights.latents import read_latents

    codes = read_latents(path)  # [w_dim], [N or num_ws, w_dim] or [N, num_ws or 1, w_dim]
    if codes.ndim == 2 and len(codes) == generator.num_ws:
        codes = codes[None]
    codes = codes.reshape(-1, 1, codes.shape[-1]) if codes.ndim < 3 else codes
    return codes.expand(-1, generator.num_ws, -1) if codes.shape[1] == 1 else codes


# ---- info, inspect, convert, generators ------------------------------------------------------------------------------


def cmd_info(options: argparse.Namespace) -> int:
    """Show versions, device, generator, perceptual network and cache."""
    import platform

    import torch

    from i2s import __version__
    from i2s.device import choose_device
    from i2s.files import cache_dir
    from i2s.losses.perceptual import load_perceptual

    device = choose_device(options.device)
    generator = _load_generator(options)
    print(f"i2s {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        print(f"device: {torch.cuda.get_device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    else:
        what = "mps, Apple's GPU" if device.type == "mps" else device
        print(f"device: {what}, {torch.get_num_threads()} threads")
    print(f"generator: {generator.describe()}")
    print(f"perceptual network: {load_perceptual('auto', device=device).describe()}")
    print(f"cache: {cache_dir()}")
    return 0


def cmd_inspect(options: argparse.Namespace) -> int:
    """Show what is in a weight file, without trusting it: nothing of it is executed."""
    from i2s.weights.inspect import inspect_file

    report = inspect_file(local_path(options.file, WeightFileError, "download the file and give its path"))
    print(report)
    return report.exit_code


def cmd_convert(options: argparse.Namespace) -> int:
    """Write a generator as safetensors, after which nothing needs its pickle again; or a code for another tool."""
    from i2s.generators.file import FORMAT
    from i2s.weights.convert import convert
    from i2s.weights.latents import WRITERS

    out = local_path(options.out)
    if out.suffix.lower() in WRITERS:
        return _convert_code(options, out)
    _generator_file(options.file)
    if out.suffix == ".safetensors":
        check_replaceable(out, FORMAT)
        check_new(out, options.force)
    print(convert(options.file, out, options.half, options.class_idx))
    return 0


def _convert_code(options: argparse.Namespace, out: Path) -> int:
    """Write the code, or codes, of a result or of another tool's file; FILE#K is its K-th code."""
    from i2s.weights.latents import read_latents, write_latents

    if options.half or options.class_idx is not None:
        raise SettingsError(f"--half and --class are for weights, but {out} is to be a code: leave them out.")
    (path, number), *others = _code_files(options.file)
    if others or isinstance(path, bytes):
        raise LatentError(f"{options.file} does not name one file: give its path.")
    check_replaceable(out)
    if _same(path, out):
        raise OutputError(f"{out} is the source itself: choose another name.")
    check_new(out, options.force)
    codes = read_latents(path)
    codes = codes if codes.ndim == 3 else codes.reshape(1, -1, codes.shape[-1])  # [N, num_ws, w_dim]
    codes = _numbered(codes, number, path)
    print(f"{write_latents(codes, out)}  w {list(codes.shape)}")
    return 0


def cmd_generators(options: argparse.Namespace) -> int:
    """List the known generators: size, licence, and which are on this machine."""
    from i2s.weights.catalog import table

    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
