"""Operations beside the pipeline: import, servers, experiments, publish, clean, doctor.

Functions return values; cli and flows show them.
"""
