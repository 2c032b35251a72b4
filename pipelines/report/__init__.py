"""The HTML report, the model card and the tables of the console."""
