"""Turn an uploaded file into a video that browsers play."""
