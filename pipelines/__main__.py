"""The command: users type `hgmnet ...`, dvc.yaml says `python -m pipelines ...`; both are this."""

import sys

from pipelines.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
