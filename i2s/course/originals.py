"""The photos behind the people of lesson 5, fetched when they are asked for: checked, kept, and with their terms."""

from pathlib import Path

from i2s.errors import DownloadError, SettingsError
from i2s.weights.fetch import Licence, fetch

SOURCE = "https://raw.githubusercontent.com/debruine/webmorphR.stim/master/inst"
PLACES = {"neutral": "neutral_front/{person}_03.jpg", "smiling": "smiling_front/{person}_08.jpg"}
LONDON = Licence(
    "CC BY 4.0 (Face Research Lab London Set, DeBruine and Jones 2017)",
    "the people consented to use in web-based studies and illustration; keep the attribution, and deceive nobody.",
    "https://doi.org/10.6084/m9.figshare.5047666",
)
SHA256 = {
    ("010", "neutral"): "fe7c68d73e9521b0e4e198042b652e9488a820b6ec750c5fdf69e2da7cb9ef30",
    ("010", "smiling"): "cbc08413ff71b1b0de3a6ec3e91af3bf285f012b118de63eea541d0b324d313f",
    ("011", "neutral"): "b9531c2654879bf22d0982a3643fa78463aaf44bb43408a4dc972c3ea1d7f70e",
    ("011", "smiling"): "2decf0572057ea0ffcc1ba8cbbd0d84f25dd4ff59c235723ab8dcd850567fbbe",
    ("021", "neutral"): "79a946ee6e12592609f1c860ccbda565ef63f3fd95b61fbaea1abe1a493bb008",
    ("021", "smiling"): "82c42a25c889221a75f85236fc0ebc80f2f0615923544f5151d62243094261c8",
    ("031", "neutral"): "e08256c9ab774a8416769e45ab04d8a4a37ced7ca657fa018a8f29b3d8bb9dc1",
    ("031", "smiling"): "6dbfe84f13f633f66129bb1fb6842cfd11cce90d7a7b850600c5d35777c688e2",
}


def fetch_original(person: str, expression: str, source: str = SOURCE, **options) -> Path | None:
    """The photo of a person (1350 x 1350 px, not aligned) from the cache or the network; None, and a word why, offline.

    person: "010", "011", "021" or "031"; expression: "neutral" or "smiling". options: those of `fetch`.
    SettingsError for another one.
    """
    if (person, expression) not in SHA256:
        people = ", ".join(sorted({name for name, _ in SHA256}))
        raise SettingsError(f"There is no photo {person!r}, {expression!r}: people are {people}, neutral or smiling.")
    place = PLACES[expression].format(person=person)
    try:
        return fetch(f"{source}/{place}", f"people/{place}", SHA256[person, expression], licence=LONDON, **options)
    except DownloadError:
        print(f"The photo could not be fetched from {source}; the lesson goes on with the codes.")
        return None
