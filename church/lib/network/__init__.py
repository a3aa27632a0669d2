"""Addresses of clients, and networks."""
