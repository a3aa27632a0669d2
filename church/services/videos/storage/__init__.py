"""Files of videos: the folder on this host, and the bucket that can send them."""
