"""BigCodeBench's seven domains, by library.

Source: analysis/lib2domain.json of bigcode-project/bigcodebench at 47eff25 (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterable

DOMAINS = {
    "Computation": """
        IPython Levenshtein cmath cv2 gensim geopandas keras librosa math nltk numpy obspy pandas pytesseract scipy
        shapely skimage sklearn soundfile statistics statsmodels sympy tensorflow textblob torch wordninja
    """,
    "General": """
        argparse array ast bisect builtins collections copy decimal difflib enum faker fnmatch functools heapq importlib
        inspect itertools multidict natsort operator pkgutil pprint prettytable queue random re regex string texttable
        textwrap types typing unicodedata uuid warnings
    """,
    "Visualization": "PIL folium matplotlib mpl_toolkits seaborn turtle wordcloud",
    "System": """
        aspose configparser csv ctypes docx docxtpl errno filecmp getpass glob gzip imp io json locale logging
        multiprocessing openpyxl os pathlib pickle platform psutil select shlex shutil signal sqlalchemy sqlite3 struct
        subprocess sys tarfile threading xlrd xlwt yaml zipfile zlib
    """,
    "Time": "calendar dateutil datetime holidays pytz time",
    "Network": """
        bs4 cgi chardet django email flask flask_login flask_mail flask_restful flask_wtf ftplib geopy html http
        ipaddress lxml mechanize mimetypes pyquery python_http_client requests selenium sendgrid smtplib socket ssl
        urllib werkzeug wikipedia wtforms xml xmltodict
    """,
    "Cryptography": "Crypto base64 binascii blake3 codecs cryptography hashlib hmac rsa secrets",
}

DOMAIN_OF = {library: domain for domain, libraries in DOMAINS.items() for library in libraries.split()}


def domains_of(libraries: Iterable[str]) -> tuple[str, ...]:
    """One for each library that the official analysis knows: a domain comes as often as the task has libraries in it.

    The official figures of a domain count a task that often; see `gateway.shadow.score.report`.
    """
    return tuple(DOMAIN_OF[library] for library in libraries if library in DOMAIN_OF)
