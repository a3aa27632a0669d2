"""Scan requests and live messages for attack patterns."""
