"""Wikipedia articles as readable text, from wikitext, from rendered HTML and from Enterprise's structured sections.

The three ways end in one builder (`article.py`), so an article reads alike whichever it came by: the title on the first
line, paragraphs with an empty line between them, headings as lines of their own, lists with `- ` and `1. `. What is not
running text is left out: tables, infoboxes, references, images, navigation, and the sections that hold only those.
"""
