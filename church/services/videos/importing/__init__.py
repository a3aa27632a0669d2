"""From an uploaded file to a video that browsers play."""
