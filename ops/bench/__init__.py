"""Speed as ratios, measured side by side in one run: ``make bench``.

CPU per request comes from the workers' own accounting in /proc, with the variants alternated round by round, so
that a noisy machine disturbs all of them alike. It ends with a line each: ``RATIO name value``.
"""
