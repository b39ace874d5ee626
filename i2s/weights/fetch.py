"""Downloads: `fetch` returns a file of the cache, and brings it there first if need be, whole and verified.

pooch transfers each file to a temporary folder and checks its SHA-256; here are the cache's layout, the mirrors, the
retries, and the reasons in words. A partial download is not resumed, since pooch cannot: each attempt starts anew.

Environment: `I2S_CACHE` is the folder of the cache. `I2S_MIRROR` holds addresses of mirrors, separated by spaces, which
are tried before the source; a mirror is a cache folder on a web server (`python -m http.server`). `I2S_OFFLINE=1`
forbids downloads. The cache holds the files themselves, and beside them

    records/    SHA-256 and origin of each file; a file without a known checksum is held to its first one
    licences/   the licence notices that have been shown
    .partial/   downloads under way, and their locks
"""

import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qs, quote, urlsplit

from i2s.errors import DownloadError, OutputError, SettingsError, one_line
from i2s.files import cache_dir, offline, write_atomically

ATTEMPTS = 3  # for each address, where trying again can help
PAUSE = 1.0  # seconds between two attempts
TIMEOUT = 30.0  # seconds to connect, for each read, and for each chunk
CHUNK = 1 << 14  # bytes
BROKEN = "broke the connection off"
MAX_BYTES = 4 << 30  # of a file whose size is not known
PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<!--", b"{")


@dataclass(frozen=True)
class Licence:
    """Terms of use of a file."""

    name: str  # short
    terms: str  # one or two sentences
    url: str  # of the full text

    @property
    def notice(self) -> str:
        return f"{self.name}: {self.terms} Full text: {self.url}"


def tell(message: str) -> None:
    """Print a message to standard error."""
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
    progress: bool = True,
    say: Callable[[str], None] = tell,
    wait: float = 3600.0,
) -> Path:
    """Return a file of the cache; download and verify it if it is not there yet.

    Args:
        url: Source of the file.
        filename: Name in the cache, with its folder ("photos/001_03.jpg").
        sha256: Checksum; None if it is not known: then the first one is recorded, and a later one must equal it.
        licence: Its notice is shown once per cache.
        mirrors: Further addresses, tried after `url`.
        size: Expected size in bytes; a download of more than twice this is refused.
        cache: Folder of the cache; None is `cache_dir()`.
        progress: Show a progress bar.
        say: Called with each message for the user.
        wait: Seconds to wait for another process that downloads the same file.

    Returns:
        Path of the file, complete and verified.

    Raises:
        DownloadError: No address gives the right file, downloads are forbidden, or the cache cannot be written.
        SettingsError: `filename` leads out of the cache, or `I2S_MIRROR` holds no http address.
    """
    file = _CachedFile(Path(cache or cache_dir()), filename, sha256, say)
    present = file.is_present()
    if not present and offline():
        raise DownloadError(f"{file.state} and I2S_OFFLINE forbids downloads: unset it, or {file.by_hand(url)}.")
    if licence is not None:
        show_licence(licence, file.cache, say)
    if present:
        return file.path
    urls = dict.fromkeys([*_own_mirrors(filename), url, *mirrors])
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        if file.path.is_dir():
            raise DownloadError(f"{file.path} is a folder, but a file belongs there: move it away.")
        with file.locked(wait):
            if not file.is_present():  # another process may have brought it meanwhile
                _try_all(list(urls), file, 2 * size + (1 << 20) if size else MAX_BYTES, progress, file.by_hand(url))
    except DownloadError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise DownloadError(
            f"{file.path} cannot be written ({one_line(error)}): "
            f"{'free some space' if full else 'correct the permissions'}, or set I2S_CACHE to another folder."
        ) from error
    return file.path


def show_licence(licence: Licence, cache: Path, say: Callable[[str], None] = tell) -> None:
    """Show the notice, unless this cache records that it has been shown."""
    slug = re.sub("[^a-z0-9.]+", "-", licence.name.lower()).strip("-")
    shown = cache / "licences" / f"{slug}.txt"
    with suppress(OSError, UnicodeError):
        if shown.read_text("utf-8") == licence.notice:
            return
    say(f"Licence. {licence.notice}")
    with suppress(OutputError):  # in a read-only cache it is shown each time
        write_atomically(shown, licence.notice.encode())


def google_drive_url(url: str) -> str:
    """Address of the bytes of a file on Google Drive, past the page that warns of large files; other addresses stay."""
    parts = urlsplit(url)
    if parts.hostname == "drive.google.com" and parts.path == "/uc":
        file_id = parse_qs(parts.query).get("id", [""])[0]
        return f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"
    return url


def web_page_reason(start: bytes) -> str:
    """Say why a file that begins with `start` is a web page, an error message or a pointer; "" if it is none."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "sent a git-lfs pointer, not the file itself"
    if not text.startswith(PAGE_STARTS):
        return ""
    if b"quota" in text or b"too many users" in text:
        return "sent a web page: the download quota of this file is used up, which takes up to a day to pass"
    if any(word in text for word in (b"sign in", b"log in", b"login", b"password")):
        return "sent a web page that asks for a login"
    return "sent a web page or an error message, not the file"


def megabytes(count: int) -> str:
    """Format a number of bytes: "382 MB"."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= size:
            return f"{count / size:.{0 if count >= 10 * size else 1}f} {unit}"
    return f"{count} bytes"


class _CachedFile:
    """A file of the cache: its path, its record, and the folder of its partial downloads."""

    def __init__(self, cache: Path, filename: str, sha256: str | None, say: Callable[[str], None]):
        parts = PureWindowsPath(filename)  # knows both kinds of slash
        if not parts.parts or parts.anchor or ".." in parts.parts:
            raise SettingsError(f"{filename!r} is no name for a file in the cache: give a relative one, without '..'.")
        self.cache = cache
        self.filename = filename
        self.sha256 = sha256.lower() if sha256 else None
        self.say = say
        self.path = cache / filename
        self.record = cache / "records" / f"{filename}.json"
        self.partial = cache / ".partial" / filename.replace("/", "--")

    @property
    def state(self) -> str:
        """Beginning of a message: what is the matter with the file."""
        return f"{self.filename} {'is damaged' if self.path.exists() else 'is not'} in the cache"

    @property
    def expected(self) -> str | None:
        """The checksum that the file must have: the known one, else the recorded one."""
        return self.sha256 or self._read_record().get("sha256")

    def by_hand(self, url: str) -> str:
        """End of a message: what the user can do instead."""
        return f"download {url} on any computer and save it as {self.path}"

    def is_present(self) -> bool:
        """True if the cache holds the right file; one that was put there by hand is verified and recorded."""
        try:
            if not self.path.is_file() or not self.path.stat().st_size:
                return False
            with self.path.open("rb") as file:
                return not web_page_reason(file.read(1 << 16)) and self.verify(self.path, "put there by hand")
        except OSError as error:
            raise DownloadError(f"{self.path} cannot be read ({one_line(error)}): correct its permissions.") from error

    def verify(self, path: Path, source: str) -> bool:
        """True if the file at `path` has the expected checksum, or is the first one.

        Size and time of the file are recorded with the checksum, which is computed anew only if they have changed.
        """
        import pooch

        record, expected, status = self._read_record(), self.expected, path.stat()
        stamp = {"sha256": expected, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        if expected and stamp.items() <= record.items():
            return True
        found = pooch.file_hash(str(path), alg="sha256")
        if expected not in (None, found):
            return False
        if expected is None:
            self.say(f"No checksum is known for {self.filename}; recorded for the next time: SHA-256 {found}.")
        record = {**stamp, "sha256": found, "source": source, "fetched": date.today().isoformat()}
        with suppress(OutputError):  # in a read-only cache the checksum is computed each time
            write_atomically(self.record, json.dumps(record, indent=2).encode() + b"\n")
        return True

    def install(self, path: Path) -> None:
        """Move the file at `path` to its place, in one step."""
        fresh = path.with_name("fresh")
        fresh.touch(0o666)  # has the permissions of the user; asking for the umask would set it, in all threads
        os.chmod(path, fresh.stat().st_mode)  # a temporary file is private, a cache may be shared
        os.replace(path, self.path)

    @contextmanager
    def locked(self, wait: float) -> Iterator[None]:
        """Hold the inter-process lock of this file; remove what ended processes left behind.

        It saves a second download; on a file system without locks a file is still installed whole or not at all.
        """
        from filelock import FileLock, Timeout

        self.partial.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{self.partial}.lock")
        try:
            try:
                lock.acquire(timeout=min(1.0, wait))
            except Timeout:
                self.say(f"Another process is fetching {self.filename}: waiting for it.")
                lock.acquire(timeout=wait, poll_interval=0.2)
            for left in self.partial.iterdir():
                shutil.rmtree(left, ignore_errors=True)
        except Timeout as error:
            raise DownloadError(
                f"Another process has been fetching {self.filename} for {wait:g} s: end it, or wait and try again."
            ) from error
        except NotImplementedError:  # no locks here
            pass
        try:
            yield
        finally:
            lock.release()

    def _read_record(self) -> dict:
        with suppress(OSError, ValueError):
            record = json.loads(self.record.read_text("utf-8"))
            if isinstance(record, dict) and re.fullmatch("[0-9a-f]{64}", str(record.get("sha256"))):
                return record
        return {}


class _Failure(Exception):
    """An address does not give the file; the message continues "HOST ..." in a sentence."""

    def __init__(self, reason: str, again: bool = False, reached: bool = True):
        super().__init__(reason)
        self.again = again  # the same request may succeed in a moment
        self.reached = reached  # the server answered


class _Watch:
    """Progress bar of one download, in the form that pooch takes; ends one that is too large, or has stalled."""

    def __init__(self, name: str, limit: int, visible: bool):
        from tqdm.auto import tqdm

        self.bar = tqdm(desc=name, unit="B", unit_scale=True, mininterval=0.5, disable=not visible)
        self.limit = limit
        self.total = 0  # in bytes, set by pooch; 0 or less: the server does not say it
        self.done = 0
        self.since = time.monotonic()

    def update(self, count: int) -> None:
        self.done += count
        self.bar.total = self.total if self.total > 0 else None
        self.bar.update(count)
        if max(self.done - CHUNK, self.total) > self.limit:
            raise _Failure(f"sends more than {megabytes(self.limit)}, more than this file can have")
        if time.monotonic() - self.since > TIMEOUT:
            raise _Failure("sends almost nothing any more (it stalls)", again=True)
        self.since = time.monotonic()

    def reset(self) -> None:
        """pooch begins its last update anew."""
        self.done = 0
        self.bar.reset()

    def close(self) -> None:
        self.bar.close()


def _own_mirrors(filename: str) -> list[str]:
    own = os.environ.get("I2S_MIRROR", "").split()
    for address in own:
        if not address.startswith(("http://", "https://")):
            raise SettingsError(f"I2S_MIRROR is {address!r}, which is no http or https address: correct or unset it.")
    return [f"{address.rstrip('/')}/{quote(filename)}" for address in own]


def _try_all(urls: list[str], file: _CachedFile, limit: int, progress: bool, by_hand: str) -> None:
    """Try one address after the other; install the first right file."""
    failures: list[tuple[str, _Failure]] = []
    for url in urls:
        for left in reversed(range(ATTEMPTS)):
            try:
                return _retrieve(url, file, _Watch(file.path.name, limit, progress))
            except _Failure as error:
                failure = error
            if not failure.again or not left:
                break
            time.sleep(PAUSE)
        failures.append((re.sub(r"^\w+://([^/?#]+).*", r"\1", url), failure))
    if not any(failure.reached for _, failure in failures):
        hosts = " or ".join(dict.fromkeys(host for host, _ in failures))
        raise DownloadError(f"{file.state} and {hosts} is not reached: connect to the network, or {by_hand}.")
    reasons = "; ".join(f"{host} {failure}" for host, failure in failures)
    raise DownloadError(f"{file.filename} could not be fetched ({reasons}): try again later, or {by_hand}.")


def _retrieve(url: str, file: _CachedFile, watch: _Watch) -> None:
    """Download the file once, verify it, install it."""
    import pooch

    def download(url: str, output_file: str, _: object) -> None:
        headers = {"User-Agent": "i2s", "Accept-Encoding": "identity"}
        options = {"timeout": TIMEOUT, "headers": headers, "hooks": {"response": _check_status}}
        with _connection_errors():
            pooch.HTTPDownloader(watch, CHUNK, **options)(google_drive_url(url), output_file, None)
        done = os.path.getsize(output_file)
        with open(output_file, "rb") as written:
            page = web_page_reason(written.read(1 << 16))
        if page or not done:
            raise _Failure(page or "sent an empty file", again=not done)
        if done < watch.total:  # urllib3 before version 2 does not notice
            raise _Failure(BROKEN, again=True)
        if watch.total <= 0 and not file.expected:
            raise _Failure("does not say how long the file is, so a truncated one would not be noticed")

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # pooch's messages would repeat ours
    try:
        with tempfile.TemporaryDirectory(dir=file.partial) as folder:
            name, known_hash = file.path.name, file.expected and f"sha256:{file.expected}"
            path = Path(pooch.retrieve(url, known_hash, name, folder, downloader=download))
            file.verify(path, url)
            file.install(path)
    except ValueError as error:  # the checksum differs
        which = "right" if file.sha256 else "first"
        trust = "" if file.sha256 else f"; if you trust the new one, delete {file.record}"
        raise _Failure(f"sent another file than the {which} one, as its SHA-256 says{trust}") from error
    finally:
        watch.close()
        logger.setLevel(level)


def _check_status(response, **options) -> None:
    """Refuse all but the file itself and redirections; requests calls it for each response."""
    status = response.status_code
    if status == 200 or response.is_redirect:
        return
    known = {401: "asks for a login", 403: "refuses access", 404: "has no such file", 410: "has deleted the file"}
    overloaded = status == 429 or status >= 500
    reason = "is overloaded or out of order" if overloaded else known.get(status, "answers with something else")
    raise _Failure(f"{reason} (HTTP {status})", again=overloaded)


@contextmanager
def _connection_errors() -> Iterator[None]:
    """Convert the errors of requests and urllib3 to _Failure."""
    from requests import exceptions
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (exceptions.RequestException, HTTPError, ValueError) as error:
        failure = _Failure(BROKEN, again=True)
        if "timed out" in str(error):
            failure = _Failure(f"did not answer for {TIMEOUT:g} s", again=True)
        elif isinstance(error, exceptions.SSLError):
            failure = _Failure("has no secure connection (its certificate or protocol is not accepted)")
        elif "Max retries exceeded" in str(error):  # requests' words for: no connection was made
            failure = _Failure("is not reached", reached=False)
        elif isinstance(error, exceptions.TooManyRedirects):
            failure = _Failure("redirects without end")
        elif isinstance(error, ValueError) and not isinstance(error, exceptions.InvalidHeader):
            failure = _Failure("leads to something that is no web address")
        raise failure from error
