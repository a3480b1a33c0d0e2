"""For the site: a link to the repository on each page, from the one place that has its address."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def on_config(config: Any) -> Any:
    """Take the address from `pyproject.toml`; there is no link while it is not filled in."""
    project = Path(config.config_file_path).with_name("pyproject.toml")
    source = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["urls"]["Source"]
    address = urlsplit(source)
    if not address.netloc.endswith(".invalid"):
        config.repo_url, config.repo_name = source, address.path.strip("/") or address.netloc
    return config


def on_post_page(output: str, **_: Any) -> str:
    """Keep the theme from asking the host how many like the repository: nothing is fetched."""
    return output.replace(' data-md-component="source"', "")


on_post_template = on_post_page  # of the page for what is not there
