"""The till's API and pages."""
