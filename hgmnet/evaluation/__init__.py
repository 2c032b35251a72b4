"""From predictions to figures: rows per image, subgroups, drift, and the promotion rule."""
