"""Command: check this machine and this checkout, a line each: fine, worth knowing, or to mend."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments."""
    parser.epilog = "exit status: 0 nothing blocks a run, 2 something must be mended first"


def run(root: Path, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Print a line a finding.

    Raises:
        ConfigError: something must be mended before a run can end well; says how many things.
    """
    from hgmnet.errors import ConfigError
    from pipelines.health import checkout, installation

    findings = [*installation.findings(root), *checkout.findings(root)]
    for finding in findings:
        print(f"{finding.status:<5} {finding.says}")
    blocking = sum(finding.status == "mend" for finding in findings)
    if blocking:
        things = "1 thing" if blocking == 1 else f"{blocking} things"
        msg = f"{things} must be mended first: see the lines that begin with `mend`"
        raise ConfigError(msg)
