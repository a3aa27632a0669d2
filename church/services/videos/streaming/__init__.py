"""Signed stream addresses, and who may use them."""
