"""What the processes of one host share and see of its files."""
