"""One module for each dashboard: its queries, and what each panel is there to say."""
