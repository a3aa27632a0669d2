"""Benchmark the site: ``make bench``. Speed is reported as ratios that are measured side by side in one run.

CPU per request comes from the workers' accounting in /proc. The variants alternate round by round, so that a noisy
machine affects all of them alike. The output ends with one line per ratio: ``RATIO name value``.
"""
