"""The site: `make docs` builds it into site/, whole and offline: no fonts, scripts or pictures from elsewhere.

Sphinx and not MkDocs: Material for MkDocs ends in May 2027, and what stands under it has had no release since 2024.
"""

import re
from pathlib import Path

_INIT = Path(__file__).resolve().parent.parent / "landscape" / "__init__.py"

project = "Landscape"
author = "The Landscape authors"
release = re.search(r'^__version__ = "([^"]+)"$', _INIT.read_text(encoding="utf-8"), re.MULTILINE)[1]
html_title = f"{project} {release}"

extensions = ["myst_parser"]
myst_heading_anchors = 4  # the anchors that GitHub makes, so that a link works here and there
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
