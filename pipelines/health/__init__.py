"""What `hgmnet doctor` looks at: the installation, and the checkout."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What one check found, in a line; only `mend` blocks a run, and then says what to do."""

    status: Literal["ok", "note", "mend"]
    says: str
