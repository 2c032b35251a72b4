"""What a person asks for beside the pipeline: import, servers, overrides, publish, clean, doctor.

Functions return values; cli and flows show them.
"""
