"""The frame of a page that is complete in itself: nothing is fetched, and nothing runs but what its policy names.

The content security policy (W3C, Content Security Policy Level 3) forbids the browser to load anything at all, and
lets a script run only if its SHA-256 stands in the policy. So a text that found a way into the page as markup still
could do nothing.
"""

from __future__ import annotations

import base64
import hashlib

from lumilab.page.style import STYLE
from lumilab.page.svg import safe


def document(title: str, content: str, *, style: str = STYLE, script: str = "") -> str:
    """A whole page.

    Args:
        title: of the page.
        content: its HTML.
        style: CSS.
        script: JavaScript, the only one that may run; none by default.
    """
    allowed = f"script-src 'sha256-{_digest(script)}'; " if script else ""
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; {allowed}img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{safe(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f"{content}</main>\n{f'<script>{script}</script>' if script else ''}</body>\n</html>\n"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
