"""Writes the pages."""

from tools.docs.pages import PAGES

for name, (file, write) in PAGES.items():
    file.write_text(write(), encoding="utf-8")
    print(f"docs/{name}")
