"""Prefect flows: training, promotion, monitoring, data_watch, batch_predict, study.

May import everything but cli; nothing else imports Prefect.
"""
