"""Templates of pages, and pictures inside HTML."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from PIL import Image

from hgmnet.data.images import Grey


@cache  # compile a template once
def templates(folder: Path) -> Environment:
    """Load the templates of a folder; HTML is escaped, Markdown is not, and a typo is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def fill(beside: str, name: str, **values: Any) -> str:
    """Fill in a template from the folder `templates` beside a module (its `__file__`)."""
    return templates(Path(beside).parent / "templates").get_template(name).render(**values)


def lines(beside: str, name: str) -> tuple[str, ...]:
    """Lines of a text from the folder `templates` beside a module (its `__file__`)."""
    path = Path(beside).parent / "templates" / name
    return tuple(path.read_text(encoding="utf-8").splitlines())


def fit(grey: Grey, side: int) -> tuple[int, int]:
    """Width and height, px, of an image (H, W) after shrinking its longer edge to `side` px."""
    height, width = grey.shape
    scale = min(1.0, side / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def data_uri(grey: Grey, size: tuple[int, int], quality: int = 88) -> str:
    """Encode an image (H, W) uint8 at `size` (width, height), px, as the data URI of a JPEG."""
    small = Image.fromarray(grey).resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
