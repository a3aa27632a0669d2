"""A switch: telemetry that fails raises in the tests; everywhere else it is dropped and counted."""

on = False
