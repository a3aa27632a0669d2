"""The flight recorder: the spans of every request, job and live message, kept where its end shows that they matter."""
