"""The command `i2s`: embed photos, morph results, and look at what is there.

Every error of the user's input, files or machine is one sentence and an exit code of its own (`i2s.errors`);
`--debug` shows the traceback.
"""

import argparse
import sys
from pathlib import Path

from i2s.errors import DeviceError, I2SError, OutputError, SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
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
        told = _explain(error)
        print(f"i2s: {told} (i2s --debug shows the details)", file=sys.stderr)
        return 1


def _explain(error: Exception) -> str:
    """One sentence for an error that nobody foresaw."""
    said = str(error).lower()  # of a GPU, and of a CPU on Linux and elsewhere
    full = "out of memory", "can't allocate memory", "not enough memory"
    if isinstance(error, MemoryError) or any(words in said for words in full):
        return "The memory is full: embed fewer photos at once."
    return f"Something unforeseen happened, {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def parser() -> argparse.ArgumentParser:
    """The whole command line; each command names the function that runs it."""
    from i2s import __version__

    top = argparse.ArgumentParser(
        prog="i2s", description="Image2StyleGAN: embed photos into a StyleGAN and edit them there."
    )
    top.add_argument("--version", action="version", version=f"i2s {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    embed = commands.add_parser("embed", help="find the latent codes of photos", description=cmd_embed.__doc__)
    embed.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    embed.add_argument(
        "-o", "--out", type=Path, default=Path("i2s-out"), help="folder of the results (default i2s-out)"
    )
    embed.add_argument(
        "--preset",
        default="fast",
        help="fast (default), or the settings of a paper: image2stylegan, stylegan2, ii2s, image2stylegan++, pti",
    )
    embed.add_argument("--steps", type=int, help="optimisation steps (default: the preset's; fast 150, the paper 5000)")
    embed.add_argument("--budget", type=float, metavar="SECONDS", help="time for the search, in place of steps")
    embed.add_argument("--space", choices=("z", "w", "w+"), help="where codes are searched for (default w+)")
    starts = ("mean", "uniform", "zeros", "nearest", "encoder", "auto")
    embed.add_argument("--init", choices=starts, help="initial code (default: the preset's; fast: the encoder's)")
    embed.add_argument("--seed", type=int, help="of what is drawn at random (default 0)")
    embed.add_argument(
        "--mask", type=Path, metavar="PICTURE", help="white where pixels count; for inpainting, are known"
    )
    embed.add_argument(
        "--task", metavar="TASK", help="inpainting, colorization, super-resolution[:PX] or denoising[:PX]"
    )
    embed.add_argument("--checkpoint", type=Path, metavar="FILE", help="where the state is written every 100 steps")
    embed.add_argument("--resume", action="store_true", help="go on from the checkpoint, if it is there")
    embed.add_argument(
        "--perceptual", choices=("auto", "vgg16", "slim"), default="auto", help="network of the perceptual loss"
    )
    embed.add_argument("--video", choices=("none", "gif", "mp4"), default="none", help="film of the search")
    embed.add_argument("--full-size", action="store_true", help="also NAME-full.png, the photo's own size")
    embed.add_argument("--quiet", action="store_true", help="no progress bar")
    _generator_options(embed)
    embed.set_defaults(run=cmd_embed)

    morph = commands.add_parser("morph", help="blend two results", description=cmd_morph.__doc__)
    morph.add_argument("a", type=Path, metavar="A", help="a .safetensors of `i2s embed`, or a photo")
    morph.add_argument("b", type=Path, metavar="B")
    morph.add_argument("-o", "--out", type=Path, default=Path("morph.gif"), help=".gif, .mp4 or .png (a strip)")
    morph.add_argument("--frames", type=int, default=24)
    morph.add_argument("--fps", type=int, default=12)
    morph.add_argument("--steps", type=int, default=300, help="optimisation steps for photos (default 300)")
    morph.add_argument("--perceptual", choices=("auto", "vgg16", "slim"), default="auto")
    _generator_options(morph)
    morph.set_defaults(run=cmd_morph)

    info = commands.add_parser("info", help="show device, generator and networks", description=cmd_info.__doc__)
    _generator_options(info)
    info.set_defaults(run=cmd_info)

    inspect = commands.add_parser("inspect", help="show what is in a weight file", description=cmd_inspect.__doc__)
    inspect.add_argument("file", type=Path, metavar="FILE")
    inspect.set_defaults(run=cmd_inspect)

    convert = commands.add_parser("convert", help="weights to safetensors", description=cmd_convert.__doc__)
    convert.add_argument("file", metavar="FILE", help="weight file, or a name of `i2s generators`")
    convert.add_argument("out", type=Path, metavar="OUT.safetensors")
    convert.add_argument("--half", action="store_true", help="half the size, at half precision")
    convert.set_defaults(run=cmd_convert)

    generators = commands.add_parser("generators", help="list the known generators", description=cmd_generators.__doc__)
    generators.set_defaults(run=cmd_generators)
    return top


def _generator_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--generator", default=None, help="name or weight file (default: the shipped generator)")
    command.add_argument("--device", default=None, help="cpu, cuda, cuda:1 (default: cuda where there is one)")


def _load_generator(options):
    from i2s.generators import load_generator

    device = choose_device(options.device)
    return load_generator(options.generator, device=device) if options.generator else load_generator(device=device)


def choose_device(name: str | None = None):
    """The torch device of that name; the best there is when None. DeviceError when it is not there."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"The device {name!r} cannot be used here: choose cpu, or leave --device out.") from error
    return device


def cmd_embed(options) -> int:
    """Find the latent codes of photos; writes NAME.safetensors, NAME.png for each, and a contact sheet."""
    import warnings

    from i2s import embed
    from i2s.images import load_photos
    from i2s.outputs import SHEET, check_outputs, kept, names_of

    if options.resume and options.checkpoint is None:
        raise SettingsError("--resume needs the file that is to be gone on from: give --checkpoint FILE.")
    film = [] if options.video == "none" else [f".{options.video}"]
    endings = [".safetensors", ".png", *(["-full.png"] if options.full_size else []), *film]
    names = names_of(options.photos, endings)
    generator = _load_generator(options)
    targets = load_photos(options.photos, generator.resolution)  # every photo is read before any work is done
    task = _task(options, generator.resolution)
    files = [name + ending for name in names for ending in endings] + [SHEET]
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
    print(f"generator: {result.generator}\nperceptual network: {result.perceptual}")
    for notice in result.notices:
        print(f"i2s: {notice}", file=sys.stderr)
    with kept(result):
        _write_results(result, names, options)
    if result.stopped:
        more = "; --resume goes on from the checkpoint" if options.checkpoint and options.checkpoint.exists() else ""
        print(f"i2s: ended early ({result.stopped}); what was found is saved{more}.", file=sys.stderr)
        return 130 if result.stopped == "interrupted" else 1
    return 0


def _write_results(result, names: list[str], options) -> None:
    """What `embed` found, photo by photo, and the contact sheet."""
    from i2s.embedding import full_size
    from i2s.images import contact_sheet, write_image
    from i2s.outputs import SHEET

    for k, name in enumerate(names):
        one = result.select(k)
        one.save(options.out / f"{name}.safetensors")
        write_image(one.image, options.out / f"{name}.png")
        if options.full_size:
            whole = full_size(one.image, options.photos[k], options.task or "", options.mask)
            write_image(whole, options.out / f"{name}-full.png")
        if options.video != "none":
            _write_search(one, options.out / f"{name}.{options.video}")
        print(f"{options.out / name}.safetensors  loss {one.loss[0, 0]:.4f} -> {one.loss[-1, 0]:.4f}")
    pairs = [picture for k in range(len(names)) for picture in (result.target[k], result.image[k])]
    labels = [text for name in names for text in (name, "embedded")]
    write_image(contact_sheet(pairs, columns=min(8, len(pairs)), labels=labels), options.out / SHEET)
    print(f"{options.out / SHEET}  photos beside their embeddings; {result.steps} steps in {result.seconds:.1f} s")


def _settings(options) -> dict:
    """The settings that were given on the command line; the others are the preset's."""
    given = {
        "steps": options.steps,
        "budget": options.budget,
        "space": options.space,
        "init": options.init,
        "seed": options.seed,
    }
    return {name: value for name, value in given.items() if value is not None}


def _task(options, resolution: int) -> dict:
    """What the loss does not see: a mask hides for inpainting, and weighs pixels otherwise."""
    from i2s.embedding import degradation_for, load_mask

    mask = None if options.mask is None else load_mask(options.mask, resolution)
    if options.task is None:
        return {"mask": mask}
    hides = options.task.partition(":")[0] == "inpainting"
    return {"degradation": degradation_for(options.task, resolution, mask), "mask": None if hides else mask}


def _write_search(result, path: Path) -> None:
    """A film of the search: the snapshots, the last one held."""
    from i2s.figures import write_video

    frames = result.frames[:, 0].permute(0, 2, 3, 1).numpy()  # [S, H, W, 3]
    held = [*range(len(frames)), *[len(frames) - 1] * 8]
    write_video(frames[held], path, fps=8)


def cmd_morph(options) -> int:
    """Blend two embeddings, w = lambda w1 + (1 - lambda) w2, as a film or a strip."""
    import torch

    from i2s.edits import morph
    from i2s.figures import write_video
    from i2s.images import contact_sheet, write_image

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


def _code(path: Path, generator, options):
    """The W+ code [num_ws, w_dim] of a result file, or of a photo, which is embedded first."""
    from i2s import EmbedResult, embed
    from i2s.errors import LatentError

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


def cmd_info(options) -> int:
    """Show versions, device, generator, perceptual network and cache."""
    import platform

    import torch

    from i2s import __version__
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


def cmd_inspect(options) -> int:
    """Show what is in a weight file, without trusting it: nothing of it is executed."""
    from i2s.weights.inspect import inspect_file

    report = inspect_file(options.file)
    print(report)
    return report.exit_code


def cmd_convert(options) -> int:
    """Write a generator as safetensors, after which nothing needs its pickle again."""
    from i2s.weights.convert import convert

    print(convert(options.file, options.out, options.half))
    return 0


def cmd_generators(options) -> int:
    """List the known generators: size, licence, and which are on this machine."""
    from i2s.weights.catalog import table

    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
