"""Two versions side by side: `sides` reads and aligns them, `contest` compares, `page` shows it."""
