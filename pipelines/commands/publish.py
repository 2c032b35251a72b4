"""`hgmnet publish`: the version on disk, with all that brings it back, for others."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments."""
    parser.epilog = "may be repeated: what an earlier attempt has done is found"


def run(root: Path, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Push images and weights, commit dvc.lock and split on a branch of their own, and tag it.

    Raises:
        ConfigError, HgmnetError: as `pipelines.publishing.publish`.
    """
    from pipelines.publishing import publish

    done = publish(root, print)
    to = f", pushed to {done.remote}" if done.remote else "; git has no remote `origin` to push to"
    print(f"{done.tag}: commit {done.commit[:7]} on {done.branch}{to}")
