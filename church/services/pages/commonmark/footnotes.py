"""Footnotes of Python-Markdown, in time proportional to their number."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from markdown.extensions.footnotes import FootnoteExtension


class Footnotes(FootnoteExtension):
    """The extension that Python-Markdown calls footnotes. They are numbered in the order of their texts."""

    def reset(self) -> None:
        """Forget the footnotes of the document before."""
        super().reset()
        self._places: dict[str, int] = {}

    def setFootnote(self, id: str, text: str) -> None:  # noqa: N802 - the names that Python-Markdown has
        """Store the text of a footnote; of two with one name the last counts."""
        super().setFootnote(id, text)
        self._places.setdefault(id, len(self.footnotes))

    def refer(self, name: str) -> ET.Element | None:
        """Return a reference to a footnote; None if there is none with that name."""
        place = self._places.get(name)
        if place is None:
            return None
        element = ET.Element("sup", {"id": self.makeFootnoteRefId(name, found=True)})
        link = ET.SubElement(element, "a", {"href": f"#{self.makeFootnoteId(name)}", "class": "footnote-ref"})
        link.text = str(place)
        return element

    def unique_ref(self, reference: str, found: bool = False) -> str:
        """Return the id of a reference: ``fnref:a``, then ``fnref2:a`` and so on."""
        if not found:
            return reference
        count = self.found_refs[reference] = self.found_refs.get(reference, 0) + 1
        start, separator, name = reference.partition(self.get_separator())
        return reference if count == 1 else f"{start}{count}{separator}{name}"
