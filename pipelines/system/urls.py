"""Addresses as they may be shown: without the name and password in them."""

import re


def redact_credentials(text: str) -> str:
    """An address, or a text with addresses in it, without `user:password@`."""
    return re.sub(r"(://)[^/@\s'\"]*@", r"\1", text)
