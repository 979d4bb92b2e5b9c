import re
from collections import Counter

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def most_common_words(text: str, count: int = 10) -> list[tuple[str, int]]:
    """The most frequent words of a text in any script (naïve, Größe, слово), ties in alphabetical order."""
    words = Counter(match.group().casefold() for match in WORD.finditer(text))
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))[:count]
