"""Remove user names and passwords from addresses before they are shown."""

import re


def redact_credentials(text: str) -> str:
    """Return an address, or a text with addresses, without `user:password@`."""
    return re.sub(r"(://)[^/@\s'\"]*@", r"\1", text)
