"""Pictures of the content folder: find them, read their headers, and see which pages show them."""
