"""Attack a site of this machine with one client, and measure what another client notices."""
