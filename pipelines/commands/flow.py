"""`hgmnet flow`: run a Prefect flow here and now, on the server that is there or on one's own."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the flow's name."""
    parser.add_argument("name", choices=["training"], help="training: every stage, then register")


def run(root: Path, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Run the flow to its end.

    Raises:
        RejectedError: the model did not pass its gate.
        InvalidDataError: the data did not pass validation.
        ConfigError: a setting is wrong, the data set is not here, or no server starts.
        HgmnetError: it failed in any other way.
    """
    from pipelines.flows import server

    with server.running(root) as url:
        from pipelines.flows.outcome import check
        from pipelines.flows.training import training

        print(f"Prefect server: {url.removesuffix('/api')}", flush=True)
        check(training(root, return_state=True))
