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
from pathlib import Path
from typing import TYPE_CHECKING

from i2s.errors import I2SError, LatentError, OutputError, SettingsError

if TYPE_CHECKING:  # torch is imported by the commands that need it: --help is quick
    from torch import Tensor

    from i2s.embedding.result import EmbedResult
    from i2s.generators.base import Generator

SHEET = "sheet.png"  # the contact sheet of `i2s embed`
HOLD = 8  # times that a video shows its last frame


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("i2s: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
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
        prog="i2s", description="Image2StyleGAN: embed photos into a StyleGAN and edit them there."
    )
    top.add_argument("--version", action="version", version=f"i2s {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _embed_options(_command(commands, "embed", cmd_embed, "find the latent codes of photos"))
    _morph_options(_command(commands, "morph", cmd_morph, "blend two results"))
    _generator_options(_command(commands, "info", cmd_info, "show device, generator and networks"))
    inspect = _command(commands, "inspect", cmd_inspect, "show what is in a weight file")
    inspect.add_argument("file", type=Path, metavar="FILE")
    convert = _command(commands, "convert", cmd_convert, "weights to safetensors")
    convert.add_argument("file", metavar="FILE", help="weight file, or a name of `i2s generators`")
    convert.add_argument("out", type=Path, metavar="OUT.safetensors")
    convert.add_argument("--half", action="store_true", help="half the size, at half precision")
    _command(commands, "generators", cmd_generators, "list the known generators")
    return top


def _command(commands, name: str, run, help: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help, description=run.__doc__)
    command.set_defaults(run=run)
    return command


def _embed_options(embed: argparse.ArgumentParser) -> None:
    add = embed.add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO")
    add("-o", "--out", type=Path, default=Path("i2s-out"), help="folder of the results (default i2s-out)")
    presets = "image2stylegan, stylegan2, ii2s, image2stylegan++, pti"
    add("--preset", default="fast", help=f"fast (default), or the settings of a paper: {presets}")
    add("--steps", type=int, help="optimisation steps (default: the preset's; fast 150, the paper 5000)")
    add("--budget", type=float, metavar="SECONDS", help="time for the optimisation, in place of steps")
    add("--space", choices=("z", "w", "w+"), help="latent space of the code (default w+)")
    add("--init", help="initial code: mean, uniform, zeros, nearest, encoder or auto (default: the preset's)")
    add("--seed", type=int, help="of random numbers (default 0)")
    add("--mask", type=Path, metavar="IMAGE", help="white where pixels count; for inpainting, where they are known")
    add("--task", metavar="TASK", help="inpainting, colorization, super-resolution[:PX] or denoising[:PX]")
    add("--checkpoint", type=Path, metavar="FILE", help="file to which the state is written every 100 steps")
    add("--resume", action="store_true", help="go on from the checkpoint if it is there")
    _perceptual_option(embed)
    add("--video", choices=("none", "gif", "mp4"), default="none", help="video of the optimisation")
    add("--full-size", action="store_true", help="also NAME-full.png, the photo's own size")
    add("--quiet", action="store_true", help="no progress bar")
    _generator_options(embed)


def _morph_options(morph: argparse.ArgumentParser) -> None:
    add = morph.add_argument
    add("a", type=Path, metavar="A", help="a .safetensors of `i2s embed`, or a photo")
    add("b", type=Path, metavar="B")
    add("-o", "--out", type=Path, default=Path("morph.gif"), help=".gif, .mp4 or .png (a contact sheet)")
    add("--frames", type=int, default=24)
    add("--fps", type=int, default=12)
    add("--steps", type=int, default=300, help="optimisation steps for photos (default 300)")
    _perceptual_option(morph)
    _generator_options(morph)


def _perceptual_option(command: argparse.ArgumentParser) -> None:
    names = ("auto", "vgg16", "slim")
    command.add_argument("--perceptual", choices=names, default="auto", help="network of the perceptual loss")


def _generator_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--generator", default=None, help="name or weight file (default: the shipped generator)")
    command.add_argument("--device", default=None, help="cpu, cuda, cuda:1 (default: cuda if there is one)")


def _load_generator(options: argparse.Namespace) -> "Generator":
    from i2s.device import choose_device
    from i2s.generators import DEFAULT, load_generator

    return load_generator(options.generator or DEFAULT, choose_device(options.device))


# ---- embed -----------------------------------------------------------------------------------------------------------


def cmd_embed(options: argparse.Namespace) -> int:
    """Find the latent codes of photos; writes NAME.safetensors and NAME.png for each, and a contact sheet."""
    import warnings

    from i2s import embed
    from i2s.images import load_photos

    # Check everything that can be checked before the work
    if options.resume and options.checkpoint is None:
        raise SettingsError("--resume goes on from a checkpoint, but none is given: add --checkpoint FILE.")
    video = [] if options.video == "none" else [f".{options.video}"]
    endings = [".safetensors", ".png", *(["-full.png"] if options.full_size else []), *video]
    stems = unique_stems(options.photos, endings)
    generator = _load_generator(options)
    targets = load_photos(options.photos, generator.resolution)
    task = _task(options, generator.resolution)
    files = [stem + ending for stem in stems for ending in endings] + [SHEET]
    check_outputs(options.out, files, [*options.photos, options.mask], options.checkpoint)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the result's notices, printed below
        result = embed(
            targets,
            generator,
            preset=options.preset,
            perceptual=options.perceptual,
            checkpoint=options.checkpoint,
            resume=options.resume,
            progress=not options.quiet,
            **task,
            **_settings(options),
        )

    # Report and write
    print(f"generator: {result.generator}\nperceptual network: {result.perceptual or 'none'}")
    for notice in result.notices:
        print(f"i2s: {notice}", file=sys.stderr)
    with saved_elsewhere_on_failure(result):
        _write_results(result, stems, options)
    if result.stopped:
        more = "; --resume goes on from the checkpoint" if options.checkpoint and options.checkpoint.exists() else ""
        print(f"i2s: ended early ({result.stopped}); what was found is saved{more}.", file=sys.stderr)
        return 130 if result.interrupted else 1
    return 0


def _settings(options: argparse.Namespace) -> dict:
    """Settings that were given on the command line; the others are the preset's."""
    names = ("steps", "budget", "space", "init", "seed")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _task(options: argparse.Namespace, resolution: int) -> dict:
    """Mask and degradation for `embed`: a mask hides pixels for inpainting, and weighs them otherwise."""
    from i2s.embedding import degradation_for
    from i2s.images import load_mask

    mask = None if options.mask is None else load_mask(options.mask, resolution)
    if options.task is None:
        return {"mask": mask}
    hides = options.task.partition(":")[0] == "inpainting"
    return {"degradation": degradation_for(options.task, resolution, mask), "mask": None if hides else mask}


def _write_results(result: "EmbedResult", stems: list[str], options: argparse.Namespace) -> None:
    """Write the result of each photo, and the contact sheet."""
    from i2s.embedding import full_size
    from i2s.figures import contact_sheet
    from i2s.images import write_image

    for k, stem in enumerate(stems):
        one = result.select(k)
        one.save(options.out / f"{stem}.safetensors")
        write_image(one.image, options.out / f"{stem}.png")
        if options.full_size:
            whole = full_size(one.image, options.photos[k], options.task or "", options.mask)
            write_image(whole, options.out / f"{stem}-full.png")
        if options.video != "none":
            _write_history(one, options.out / f"{stem}.{options.video}")
        print(f"{options.out / stem}.safetensors  loss {one.loss[0, 0]:.4f} -> {one.loss[-1, 0]:.4f}")
    pairs = [image for k in range(len(stems)) for image in (result.target[k], result.image[k])]
    labels = [text for stem in stems for text in (stem, "embedded")]
    write_image(contact_sheet(pairs, columns=min(8, len(pairs)), labels=labels), options.out / SHEET)
    print(f"{options.out / SHEET}  photos beside their embeddings; {result.steps} steps in {result.seconds:.1f} s")


def _write_history(result: "EmbedResult", path: Path) -> None:
    """Write a video of the optimisation: its snapshots, the last one held."""
    from i2s.figures import write_video

    frames = result.frames[:, 0].permute(0, 2, 3, 1).numpy()  # [S, H, W, 3]
    write_video(frames[[*range(len(frames)), *[-1] * HOLD]], path, fps=8)


def unique_stems(photos: list[Path], endings: list[str]) -> list[str]:
    """Name each photo's results: its stem, numbered if a file STEM + ending is taken already.

    Upper and lower case are the same, as they are in the file systems of macOS and Windows.
    """
    stems: list[str] = []
    taken = {SHEET}
    for photo in photos:
        first = stem = photo.stem or "photo"
        number = 2
        while not taken.isdisjoint(files := [(stem + ending).casefold() for ending in endings]):
            stem, number = f"{first}-{number}", number + 1
        taken.update(files)
        stems.append(stem)
    return stems


def check_outputs(folder: Path, files: list[str], inputs: list[Path | None], checkpoint: Path | None) -> None:
    """Check, before the work, that the results can be written.

    Args:
        folder: Folder of the results.
        files: Their names.
        inputs: Files that are read, and must not be overwritten.
        checkpoint: File of the checkpoint.

    Raises:
        OutputError: A folder cannot be written to, or a result would overwrite an input.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder for the results: choose another one with --out.")
    _check_writable(folder)
    if checkpoint is not None:
        _check_writable(checkpoint.parent)
    written = [folder / file for file in files] + ([] if checkpoint is None else [checkpoint])
    for given in inputs:
        if given is not None and any(_same(given, path) for path in written):
            raise OutputError(f"{given} would be overwritten by a result: choose another folder with --out.")


@contextmanager
def saved_elsewhere_on_failure(result: "EmbedResult") -> Iterator[None]:
    """If writing fails within, save the result to the temporary folder, and say where in the OutputError."""
    try:
        yield
    except OutputError as error:
        place = Path(tempfile.gettempdir()) / f"i2s-embedding-{os.getpid()}.safetensors"
        try:
            result.save(place)
        except OutputError:
            raise error from None
        raise OutputError(f"{error} What was found is in {place}.") from error


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _check_writable(folder: Path) -> None:
    from i2s.files import write_atomically

    write_atomically(folder / ".i2s-probe", b"").unlink()


# ---- morph -----------------------------------------------------------------------------------------------------------


def cmd_morph(options: argparse.Namespace) -> int:
    """Blend two embeddings, w = lambda w1 + (1 - lambda) w2, as a video or a contact sheet."""
    import torch

    from i2s.edits import morph
    from i2s.figures import contact_sheet, write_video
    from i2s.images import write_image

    if options.frames < 2:
        raise SettingsError("A morph needs at least 2 frames: give --frames 2 or more.")
    if options.out.suffix.lower() not in (".gif", ".mp4", ".png"):
        raise OutputError(f"{options.out} has none of the endings .gif, .mp4, .png: choose one of them.")
    generator = _load_generator(options)
    first, second = (_code(path, generator, options) for path in (options.a, options.b))
    w_plus = morph(first, second, torch.linspace(1, 0, options.frames))  # from A to B
    with torch.no_grad():
        frames = torch.cat([generator.synthesis(w[None].to(generator.device)).cpu() for w in w_plus])
    if options.out.suffix.lower() == ".png":
        write_image(contact_sheet(list(frames), columns=min(options.frames, 8)), options.out)
    else:
        write_video(frames, options.out, fps=options.fps, boomerang=True)
    print(options.out)
    return 0


def _code(path: Path, generator: "Generator", options: argparse.Namespace) -> "Tensor":
    """Load the W+ code [num_ws, w_dim] of a result file, or embed a photo."""
    from i2s import EmbedResult, embed

    if path.suffix == ".safetensors":
        result = EmbedResult.load(path)
        w_plus = result.w_plus
        if w_plus.shape[1:] != (generator.num_ws, generator.w_dim):
            raise LatentError(
                f"{path} holds a code of shape {list(w_plus.shape[1:])}, but this generator takes "
                f"[{generator.num_ws}, {generator.w_dim}]: embed the photo with the same --generator."
            )
        if result.generator != generator.describe():
            other = f"{path} is a code of another generator, {result.generator}"
            print(f"i2s: {other}: its image is another one here.", file=sys.stderr)
        if any(result.tuned) or any(noise.ndim == 4 for noise in result.noise):
            print(
                f"i2s: {path} has weights or noise maps of its own, which the morph leaves out: it blends codes alone.",
                file=sys.stderr,
            )
        return w_plus[0]
    return embed(path, generator, steps=options.steps, perceptual=options.perceptual).w_plus[0]


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
        print(f"device: {device}, {torch.get_num_threads()} threads")
    print(f"generator: {generator.describe()}")
    print(f"perceptual network: {load_perceptual('auto', device=device).describe()}")
    print(f"cache: {cache_dir()}")
    return 0


def cmd_inspect(options: argparse.Namespace) -> int:
    """Show what is in a weight file, without trusting it: nothing of it is executed."""
    from i2s.weights.inspect import inspect_file

    report = inspect_file(options.file)
    print(report)
    return report.exit_code


def cmd_convert(options: argparse.Namespace) -> int:
    """Write a generator as safetensors, after which nothing needs its pickle again."""
    from i2s.weights.convert import convert

    print(convert(options.file, options.out, options.half))
    return 0


def cmd_generators(options: argparse.Namespace) -> int:
    """List the known generators: size, licence, and which are on this machine."""
    from i2s.weights.catalog import table

    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
