"""What the site does, without HTTP."""
