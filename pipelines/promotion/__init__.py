"""Compare the challenger with the champion, and decide which version serves."""
