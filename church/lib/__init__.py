"""Helpers that know nothing of the site."""
