from __future__ import annotations


class Trie:
    """A set of words that can be asked for everything that starts with a prefix."""

    def __init__(self) -> None:
        self._children: dict[str, Trie] = {}
        self._is_word = False

    def add(self, word: str) -> None:
        node = self
        for letter in word:
            node = node._children.setdefault(letter, Trie())
        node._is_word = True

    def starting_with(self, prefix: str) -> list[str]:
        node = self
        for letter in prefix:
            if letter not in node._children:
                return []
            node = node._children[letter]
        return sorted(node._words(prefix))

    def _words(self, prefix: str) -> list[str]:
        found = [prefix] if self._is_word else []
        for letter, child in self._children.items():
            found += child._words(prefix + letter)
        return found
