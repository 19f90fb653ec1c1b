"""What stands in a page, read without a browser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

EMPTY = {"meta", "img", "path", "rect", "link", "br"}


@dataclass
class Element:
    """One element: its name, its attributes, and all text within it."""

    name: str
    values: dict[str, str]
    text: str = ""
    parents: tuple[str, ...] = field(default=(), repr=False)

    def has(self, word: str) -> bool:
        """Whether it is called so, or is of that class."""
        return word in (self.name, *self.values.get("class", "").split())


class Page(HTMLParser):
    """All elements of a page in their order."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        parents = tuple(each.name for each in self._open)
        element = Element(tag, {key: value or "" for key, value in attributes}, parents=parents)
        self.elements.append(element)
        if tag not in EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element that closes itself."""
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Leave an element; it has to be the one entered last."""
        assert self._open.pop().name == tag

    def handle_data(self, data: str) -> None:
        """Text belongs to all that is open."""
        for element in self._open:
            element.text += data

    def all(self, word: str) -> list[Element]:
        """The elements of a name or of a class."""
        return [element for element in self.elements if element.has(word)]

    def texts(self, word: str) -> list[str]:
        """What is said in them, white space as one blank."""
        return [" ".join(element.text.split()) for element in self.all(word)]

    def policy(self) -> dict[str, str]:
        """What the page says that a browser may load and run."""
        [found] = [each for each in self.all("meta") if "http-equiv" in each.values]
        rules = found.values["content"].split("; ")
        return {name: value for name, _, value in (rule.partition(" ") for rule in rules)}
