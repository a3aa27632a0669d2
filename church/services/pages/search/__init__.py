"""Search in the text of the pages: the index, and finding in it without revealing what a reader may not see."""
