"""Studies: questions about a model that take many trainings, and change nothing."""
