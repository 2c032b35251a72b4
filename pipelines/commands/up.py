"""`hgmnet up`: servers, deployments and a worker on this machine; one Ctrl-C ends all of it."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the ports."""
    parser.add_argument("--prefect-port", type=int, default=4200, metavar="N", help="4200")
    parser.add_argument("--mlflow-port", type=int, default=5000, metavar="N", help="5000")


def run(root: Path, args: argparse.Namespace) -> None:
    """Start what is missing, and keep it until Ctrl-C.

    Raises:
        ConfigError: a port is taken, a server does not start, or the deployments are refused.
        HgmnetError: one of them ended by itself, or another `hgmnet up` runs here.
    """
    from pipelines.services import Services

    with Services(root) as services:
        services.start_prefect(args.prefect_port)
        services.start_mlflow(args.mlflow_port)
        services.deploy()
        services.start_worker()
        print(f"Deployments of prefect.yaml are up; logs: {services.logs}. Ctrl-C ends all of it.")
        services.wait()
