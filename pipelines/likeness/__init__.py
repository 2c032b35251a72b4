"""The page that shows which images are alike, side by side."""
