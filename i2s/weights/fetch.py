"""Files fetched once and kept: `fetch` finds a file in the cache or brings it there, checked and whole.

Environment: `I2S_CACHE` is the folder of the cache (`i2s.weights.cache` says what lies in it). `I2S_MIRROR` is the
address of one or more mirrors, separated by spaces, asked before the source; a mirror is a cache folder on a web server
(`python -m http.server` in it is enough). `I2S_OFFLINE=1` forbids downloads.
"""

import errno
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from i2s.errors import DownloadError, OutputError, SettingsError, one_line
from i2s.files import cache_dir, offline, write_atomically
from i2s.weights.cache import CachedFile
from i2s.weights.transfer import Transfer, TransferError


@dataclass(frozen=True)
class Licence:
    """Under which terms a file may be used: a short `name`, the `terms` in a sentence or two, the full text's `url`."""

    name: str
    terms: str
    url: str

    @property
    def notice(self) -> str:
        return f"{self.name}: {self.terms} Full text: {self.url}"


def tell(message: str) -> None:
    """Say something to the user, on standard error."""
    print(f"i2s: {message}", file=sys.stderr, flush=True)


def fetch(
    url: str,
    filename: str,
    sha256: str | None = None,
    *,
    licence: Licence | None = None,
    mirrors: tuple[str, ...] = (),
    size: int | None = None,
    cache: str | Path | None = None,
    progress: bool | Callable[[int, int | None], None] = True,
    say: Callable[[str], None] = tell,
    transfer: Transfer | None = None,
    wait: float = 3600.0,
) -> Path:
    """The file `filename` of the cache; when it is not there yet it is fetched from `url`, or from a mirror.

    filename: name in the cache, with its folder ("photos/001_03.jpg"). sha256: of the right file; None when it is not
    known: then it is recorded on first use, said, and a later file that differs is refused. licence: its notice is
    shown the first time in this cache. size: about how many bytes; twice as many are refused. progress: True shows a
    bar, a function is called with (bytes so far, bytes in all or None). transfer: timeouts and attempts. wait: seconds
    to wait for another process that fetches the same file.
    Errors: DownloadError, SettingsError; whatever happens, the cache holds the whole file or none.
    """
    file = CachedFile(Path(cache or cache_dir()), filename, sha256.lower() if sha256 else None, say)
    here = file.is_here()
    if not here and offline():
        raise DownloadError(f"{_state(file)} and I2S_OFFLINE forbids downloads: unset it, or {_by_hand(file, url)}.")
    if licence is not None:
        show_once(licence, file.cache, say)
    if here:
        return file.path
    settings = transfer or Transfer()
    if size:
        settings = replace(settings, limit=2 * size + (1 << 20))
    urls = places(url, filename, mirrors)
    try:
        with ExitStack() as stack:
            file.make_folders()
            stack.enter_context(file.alone(wait))
            if not file.is_here():  # meanwhile another process may have brought it
                report = progress if callable(progress) else stack.enter_context(_bar(file.path.name, progress))
                _bring(file, urls, url, replace(settings, progress=report))
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{file.path} cannot be written ({one_line(error)}): "
            f"{_remedy(error)}, or set I2S_CACHE to a folder that you can write to."
        ) from error
    return file.path


def places(url: str, filename: str, mirrors: tuple[str, ...] = ()) -> list[str]:
    """Where a file may be, in the order in which the places are asked: the user's mirrors, the source, its mirrors."""
    own = os.environ.get("I2S_MIRROR", "").split()
    for address in own:
        if not address.startswith(("http://", "https://")):
            raise SettingsError(f"I2S_MIRROR is {address!r}, which is no http or https address: correct or unset it.")
    return list(dict.fromkeys([*(f"{address.rstrip('/')}/{quote(filename)}" for address in own), url, *mirrors]))


def show_once(licence: Licence, cache: Path, say: Callable[[str], None] = tell) -> None:
    """Show the notice unless this cache records that it has been shown."""
    slug = re.sub("[^a-z0-9.]+", "-", licence.name.lower()).strip("-")
    shown = cache / "licences" / f"{slug}.txt"
    with suppress(OSError, UnicodeError):
        if shown.read_text("utf-8") == licence.notice:
            return
    say(f"Licence. {licence.notice}")
    with suppress(OutputError):  # in a cache that is read only it is shown each time
        write_atomically(shown, licence.notice.encode())


def _bring(file: CachedFile, urls: list[str], source: str, transfer: Transfer) -> None:
    """Ask one place after the other; the first right file is put into its place."""
    failures: list[tuple[str, TransferError]] = []
    for url in urls:
        try:
            with tempfile.TemporaryDirectory(dir=file.partial) as folder:  # removed whatever happens, Ctrl-C too
                _fetch_from(url, file, Path(folder), transfer)
            return
        except TransferError as error:
            failures.append((re.sub(r"^\w+://([^/?#]+).*", r"\1", url), error))
    if not any(error.reached for _, error in failures):
        hosts = " or ".join(dict.fromkeys(host for host, _ in failures))
        raise DownloadError(
            f"{_state(file)} and {hosts} is not reached: connect to the network, or {_by_hand(file, source)}."
        )
    reasons = "; ".join(f"{host} {error}" for host, error in failures)
    raise DownloadError(
        f"{file.filename} could not be fetched ({reasons}): try again later, or {_by_hand(file, source)}."
    )


def _fetch_from(url: str, file: CachedFile, folder: Path, transfer: Transfer) -> None:
    import pooch

    wanted, name = file.wanted, file.path.name
    downloader = replace(transfer, needs_length=not wanted)
    try:
        with _silent(pooch.get_logger()):
            pooch.retrieve(url, wanted and f"sha256:{wanted}", name, folder, downloader=downloader)
    except ValueError as error:  # pooch's way to say that the checksum is another one
        which = "right" if file.sha256 else "first"
        trust = "" if file.sha256 else f"; if you trust the new one, delete {file.record_path}"
        raise TransferError(f"sent another file than the {which} one, as its SHA-256 says{trust}") from error
    if not file.accept(folder / name, url):
        raise TransferError("sent a file that changed while it was checked")
    file.place(folder / name)


@contextmanager
def _bar(name: str, visible: bool) -> Iterator[Callable[[int, int | None], None]]:
    if not visible:
        yield lambda done, total: None
        return
    from tqdm.auto import tqdm

    with tqdm(desc=name, unit="B", unit_scale=True, mininterval=0.5) as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


@contextmanager
def _silent(logger) -> Iterator[None]:
    """pooch's own messages would repeat what is said here."""
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _state(file: CachedFile) -> str:
    return f"{file.filename} {'is damaged' if file.path.exists() else 'is not'} in the cache"


def _by_hand(file: CachedFile, url: str) -> str:
    return f"download {url} on any computer and save it as {file.path}"


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space"
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        return "move away what is in its place"
    return "correct the permissions"
