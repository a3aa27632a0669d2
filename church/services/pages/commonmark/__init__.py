"""Read markdown as CommonMark 0.31.2, by an extension of Python-Markdown: blocks first, then the text within them."""
