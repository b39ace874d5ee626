"""A server on loopback that misbehaves (the path of a request names what it does), and a quick, silent `get`."""

import gzip
import hashlib
import random
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from i2s.errors import I2SError
from i2s.weights.fetch import fetch

NAME = "generators/face.pkl"

FILE = b"\x80\x02" + random.Random(0).randbytes(3 << 20)  # begins as a pickle does; more than a mebibyte
SHA256 = hashlib.sha256(FILE).hexdigest()
OTHER = b"\x80\x02" + random.Random(1).randbytes(1 << 20)

QUOTA = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body><p>Sorry, you can't
view or download this file at this time.</p><p>Too many users have viewed this file recently.</p></body></html>"""
LOGIN = b"\n <html><body><form>Please sign in to continue: <input name=user><input type=password></form></body></html>"
MESSAGE = b'{"requestStatus": {"statusCode": "NOT_FOUND"}}'
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 381624121\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        name = self.path.strip("/").split("/")[0].split("?")[0]
        self.server.requests.append(name)
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
            getattr(self, name.replace("-", "_"))()

    def start(self, status=200, **headers):
        self.send_response(status)
        for key, value in {**headers, "Connection": "close"}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def whole(self, body, **headers):
        self.start(Content_Length=len(body), **headers)
        self.wfile.write(body)

    def first(self, name):
        """Whether this is the first request of that name."""
        return self.server.requests.count(name) == 1

    # as it should be

    def good(self):
        self.whole(FILE, Content_Type="application/octet-stream")

    def moved(self):
        self.start(302, Location="/good", Content_Length=0)

    def chunked(self):
        self.start(Transfer_Encoding="chunked")
        for at in range(0, len(FILE), 1 << 18):
            piece = FILE[at : at + (1 << 18)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def lengthless(self):
        self.start()
        self.wfile.write(FILE)

    def slow(self):
        """Half a second of work."""
        self.start(Content_Length=len(FILE))
        for at in range(0, len(FILE), 1 << 18):
            self.wfile.write(FILE[at : at + (1 << 18)])
            time.sleep(0.04)

    # right at the second attempt

    def drop_once(self):
        self.truncated() if self.first("drop-once") else self.good()

    def busy_once(self):
        self.start(503, Content_Length=0) if self.first("busy-once") else self.good()

    # never the file

    def truncated(self):
        self.start(Content_Length=len(FILE))
        self.wfile.write(FILE[: len(FILE) // 2])

    def reset(self):
        self.start(Content_Length=len(FILE))
        self.wfile.write(FILE[: len(FILE) // 2])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # RST, not FIN
        self.connection.close()

    def silent(self):
        """Takes the request and hangs up."""

    def chunked_cut(self):
        self.start(Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n" % (1000, FILE[:1000]))

    def chunked_garbage(self):
        self.start(Transfer_Encoding="chunked")
        self.wfile.write(b"zz\r\n" + FILE[:1000])

    def stalled_headers(self):
        self.server.stop.wait(5)

    def stalled(self):
        self.start(Content_Length=len(FILE))
        self.wfile.write(FILE[:100_000])
        self.wfile.flush()
        self.server.stop.wait(5)

    def trickle(self):
        """A byte now and then, so that no read ever times out."""
        self.start(Content_Length=len(FILE))
        for at in range(500):
            self.wfile.write(FILE[at : at + 1])
            if self.server.stop.wait(0.02):
                return

    def lengthless_cut(self):
        """HTTP tells no end of it; only a checksum does."""
        self.start()
        self.wfile.write(FILE[: len(FILE) // 2])

    def short(self):
        """Says that the file is shorter than it is."""
        self.start(Content_Length=len(FILE) // 2)
        self.wfile.write(FILE)

    def huge(self):
        self.start(Content_Length=10**15)
        self.wfile.write(FILE)

    def negative(self):
        self.start(Content_Length=-5)
        self.wfile.write(FILE[:1000])

    def two_lengths(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n" + FILE[:20])

    def endless(self):
        self.start()
        while not self.server.stop.is_set():
            self.wfile.write(FILE)

    def empty(self):
        self.whole(b"")

    def compressed(self):
        self.whole(gzip.compress(FILE[:1000]), Content_Encoding="gzip")

    def other(self):
        self.whole(OTHER)

    def quota(self):
        self.whole(QUOTA, Content_Type="text/html; charset=utf-8")

    def login(self):
        self.whole(LOGIN)

    def page(self):
        self.whole(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", Content_Type="binary/octet-stream")

    def lengthless_page(self):
        self.start(Content_Type="text/html")
        self.wfile.write(QUOTA)

    def message(self):
        self.whole(MESSAGE, Content_Type="application/json")

    def pointer(self):
        self.whole(POINTER)

    def loop(self):
        self.start(302, Location="/loop", Content_Length=0)

    def maze(self):
        """A new address each time, without end."""
        self.start(302, Location=f"/maze/{len(self.server.requests)}", Content_Length=0)

    def to_file(self):
        self.start(302, Location="file:///etc/passwd", Content_Length=0)

    def to_nonsense(self):
        self.start(302, Location="http://[nonsense", Content_Length=0)

    def not_http(self):
        self.wfile.write(b"\x00\x01\x02 no HTTP at all \xff\xff\r\n\r\n")

    def many_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\n")

    def gone(self):
        self.start(404, Content_Length=0)

    def unasked_part(self):
        self.start(206, Content_Length=10, Content_Range=f"bytes 0-9/{len(FILE)}")
        self.wfile.write(FILE[:10])

    def forbidden(self):
        self.start(403, Content_Length=0)

    def unauthorized(self):
        self.start(401, Content_Length=0)

    def overloaded(self):
        self.start(429, Content_Length=0)

    def broken(self):
        self.start(500, Content_Length=0)


@contextmanager
def running(handler=Handler):
    """A server on loopback; `requests` holds the names that were asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    server.requests, server.stop = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port():
    """An address where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}"


def get(url, sha256=SHA256, **settings):
    """`fetch` of NAME, silent."""
    return fetch(url, NAME, sha256, **{"progress": False, "say": lambda message: None, **settings})


def left(cache):
    """The files in the cache, without the empty lock files."""
    return sorted(
        str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


def one_sentence(error):
    """The message, which must be one for people."""
    text = str(error.value)
    assert isinstance(error.value, I2SError) and "\n" not in text and text.endswith("."), text
    assert "Error" not in text and "Traceback" not in text and "HTTPConnection" not in text, text
    return text
