"""One file over HTTP: watched, bounded, resumed; each way it can go wrong is told in words of its own.

`Transfer` is a pooch downloader: pooch gives it a temporary file, checks the checksum and moves the file.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

MEBIBYTE = 1 << 20
PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<!--")
PAGE_TYPES = ("text/html", "application/xhtml", "application/json", "application/xml", "text/xml")


class TransferError(Exception):
    """This source does not give the file; the message says why and continues "HOST ..." in a sentence.

    again: the same request may succeed in a moment. reached: the server was there.
    """

    def __init__(self, reason: str, again: bool = False, reached: bool = True):
        super().__init__(reason)
        self.again, self.reached = again, reached


@dataclass(frozen=True)
class Transfer:
    """How a file is fetched; calling it fetches one, `transfer(url, output_file, pooch)`.

    timeout: seconds for connecting, for each read, and the window in which at least `min_rate` bytes a second must
    arrive. limit: no more bytes than this are taken. attempts: how often in a row without progress; between them it
    waits `pause` seconds, then twice as long. needs_length: refuse a file whose end cannot be told from a broken
    connection (right when no checksum is known). progress: called with (bytes so far, bytes in all or None).
    """

    timeout: float = 30.0
    limit: int = 4 << 30
    attempts: int = 4
    pause: float = 1.0
    min_rate: float = 1000.0
    needs_length: bool = False
    progress: Callable[[int, int | None], None] = lambda done, total: None

    def __call__(self, url: str, output_file: str, pooch=None) -> None:
        """Fetch `url` into the file `output_file`. TransferError; OSError when it cannot be written."""
        import requests

        part = _Part()
        mark = failures = 0
        with requests.Session() as session, open(output_file, "wb") as file:
            while True:
                try:
                    self._receive(session, url, file, part)
                    file.flush()
                    os.fsync(file.fileno())
                    return
                except TransferError as error:
                    failures += 1
                    if file.tell() >= mark + MEBIBYTE:  # a bad line breaks often: as long as it moves on, go on
                        mark, failures = file.tell(), 1
                    if not error.again or failures >= self.attempts:
                        raise
                time.sleep(self.pause * 2 ** (failures - 1))

    def _receive(self, session, url: str, file, part: "_Part") -> None:
        """One request: the whole file, or the rest of it where the server can tell that it is still the same one."""
        with _told(self.timeout):
            headers = {"User-Agent": "i2s", "Accept-Encoding": "identity", **part.resume_headers(file.tell())}
            response = session.get(direct(url), stream=True, timeout=self.timeout, headers=headers)
        with response:
            if not part.continues(response, file.tell()):
                _check_status(response.status_code)
                file.seek(0)
                file.truncate()
                part.begin(response)
            self._check_size(part, file)
            self._read(response, file, part.total)
            self._check_end(response, file, part)

    def _check_size(self, part: "_Part", file) -> None:
        if part.total is not None and part.total > self.limit:
            raise TransferError(f"offers {megabytes(part.total)}, more than this file can have")
        if part.total is not None and shutil.disk_usage(os.path.dirname(file.name)).free < part.total - file.tell():
            raise OSError(errno.ENOSPC, f"{megabytes(part.total)} are needed")

    def _read(self, response, file, total: int | None) -> None:
        # read1 returns what has come, so that a trickle is seen; urllib3 before 2.2 has only read
        read = getattr(response.raw, "read1", None) or response.raw.read
        since, before = time.monotonic(), file.tell()
        while True:
            with _told(self.timeout, _broken_off(file.tell(), total)):
                chunk = read(min(MEBIBYTE, self.limit + 1))
            if not chunk:
                return
            file.write(chunk)
            self.progress(file.tell(), total)
            if file.tell() > self.limit:
                raise TransferError(f"sends more than {megabytes(self.limit)}, more than this file can have")
            if time.monotonic() - since > self.timeout:
                if file.tell() - before < self.min_rate * self.timeout:
                    raise TransferError("sends almost nothing any more (it stalls)", again=True)
                since, before = time.monotonic(), file.tell()

    def _check_end(self, response, file, part: "_Part") -> None:
        file.flush()
        with open(file.name, "rb") as written:
            page = page_in_place_of_file(written.read(1 << 16), response.headers.get("Content-Type", ""))
        if page:
            raise TransferError(page)
        if part.total is not None and file.tell() < part.total:
            raise TransferError(_broken_off(file.tell(), part.total), again=True)
        if not file.tell():
            raise TransferError("sent an empty file", again=True)
        if self.needs_length and part.total is None and not part.chunked:
            raise TransferError("does not say how long the file is, so a cut-off one would not be noticed")


@dataclass
class _Part:
    """What is known of the file that is under way: `validator` names its version (ETag, or date)."""

    validator: str = ""
    total: int | None = None
    chunked: bool = False

    def resume_headers(self, done: int) -> dict[str, str]:
        return {"Range": f"bytes={done}-", "If-Range": self.validator} if done and self.validator else {}

    def continues(self, response, done: int) -> bool:
        """Whether the answer is the rest of the file from byte `done` on."""
        if response.status_code not in (206, 416):
            return False
        first = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not done or not first or (int(first[1]), int(first[2])) != (done, self.total):
            self.validator = ""  # so that the next attempt asks for the whole file
            raise TransferError("sent another part of the file than the one asked for", again=True)
        return True

    def begin(self, response) -> None:
        headers = response.headers
        if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise TransferError("sent the file compressed, although asked not to")
        length = headers.get("Content-Length", "")
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.total = int(length) if length.isascii() and length.isdigit() and not self.chunked else None
        etag = headers.get("ETag", "")  # a weak one (W/...) does not vouch for each byte
        self.validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        if self.total is None:
            self.validator = ""


def direct(url: str) -> str:
    """The address that gives the bytes: of a file on Google Drive, past its page on large files."""
    parts = urlsplit(url)
    if parts.hostname == "drive.google.com" and parts.path == "/uc":
        file_id = parse_qs(parts.query).get("id", [""])[0]
        return f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"
    return url


def page_in_place_of_file(start: bytes, content_type: str = "") -> str:
    """Why a file that begins with `start` is a web page, an error message or a pointer; "" when it is none."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "sent a git-lfs pointer, not the file itself"
    typed = content_type.lower().startswith(PAGE_TYPES) and _is_text(start)
    if not text.startswith(PAGE_STARTS) and not typed:
        return ""
    if b"quota" in text or b"too many users" in text:
        return "sent a web page: the download quota of this file is used up, which takes up to a day to pass"
    if any(word in text for word in (b"sign in", b"log in", b"login", b"password")):
        return "sent a web page that asks for a login"
    return "sent a web page or an error message, not the file"


def _is_text(start: bytes) -> bool:
    return bool(start) and not re.search(rb"[\x00-\x08\x0e-\x1f]", start)


def _check_status(status: int) -> None:
    if status == 200:
        return
    known = {401: "asks for a login", 403: "refuses access", 404: "has no such file", 410: "has no such file any more"}
    if status == 429 or status >= 500:
        raise TransferError(f"is overloaded or out of order (HTTP {status})", again=True)
    raise TransferError(f"{known.get(status, 'answers with an error')} (HTTP {status})")


@contextmanager
def _told(timeout: float, broken: str = "broke the connection off") -> Iterator[None]:
    """Within it, an error of the connection becomes a TransferError; `broken` is how one without a name is told."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:  # ValueError: of impossible addresses
        raise _explained(error, timeout, broken) from error


def _explained(error: Exception, timeout: float, broken: str) -> TransferError:
    from requests import exceptions
    from urllib3.exceptions import HTTPError

    text = str(error)
    if "SSLError" in text or isinstance(error, exceptions.SSLError):
        return TransferError("has no secure connection (its certificate or protocol is not accepted)")
    if "Read timed out" in text:
        return TransferError(f"did not answer for {timeout:g} s", again=True)
    if isinstance(error, exceptions.TooManyRedirects):
        return TransferError("redirects without end")
    if isinstance(error, exceptions.ProxyError):
        return TransferError("is not reached through the proxy of this network", reached=False)
    if "Max retries exceeded" in text:  # requests' words for: no connection was made
        return TransferError("is not reached", reached=False)
    if isinstance(error, (exceptions.InvalidURL, exceptions.MissingSchema, exceptions.InvalidSchema)) or (
        isinstance(error, ValueError) and not isinstance(error, (exceptions.RequestException, HTTPError))
    ):
        return TransferError("leads to something that is no web address")
    return TransferError(broken, again=True)


def _broken_off(done: int, total: int | None) -> str:
    return f"broke off after {megabytes(done)}" + (f" of {megabytes(total)}" if total else "")


def megabytes(count: int) -> str:
    """A number of bytes for people: "382 MB"."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= size:
            return f"{count / size:.{0 if count >= 10 * size else 1}f} {unit}"
    return f"{count} bytes"
