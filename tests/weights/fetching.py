"""What the tests of downloads share: a quick `get`, and what is to hold after each failure."""

from servers import SHA256

from i2s.errors import I2SError
from i2s.weights.fetch import fetch
from i2s.weights.transfer import Transfer

QUICK = Transfer(timeout=0.5, pause=0.01, attempts=2, min_rate=1000)
NAME = "generators/face.pkl"


def get(url, sha256=SHA256, **settings):
    """`fetch` of NAME, silent and impatient."""
    return fetch(url, NAME, sha256, **{"progress": False, "say": lambda message: None, "transfer": QUICK, **settings})


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
