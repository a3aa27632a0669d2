"""Whether telemetry that fails raises (the tests) or is dropped and counted (everywhere else)."""

on = False
