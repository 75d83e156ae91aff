"""Web pages: their encoding, their main text, and the archives that crawlers keep them in."""
