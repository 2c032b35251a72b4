"""Prefect flows: training, promotion, monitoring, data_watch, batch_predict, study.

May import everything but cli; nothing else imports Prefect.
"""

from hgmnet.errors import hide_credentials

hide_credentials()  # Prefect's worker imports a flow without our command line
