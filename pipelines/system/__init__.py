"""DVC, git, processes and addresses: thin layers over other programs."""
