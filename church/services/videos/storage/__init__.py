"""Where the files of videos are kept."""
