"""Build of the documentation: `make docs`. Nothing is fetched, neither now nor when they are read."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from bptt import __version__

project = "bptt"
author = "the bptt authors"
release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "docstrings",
    "formulas",
    "derived",
    "terminal",
    "live",
]
exclude_patterns = ["_build"]
default_role = "py:obj"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Call", "notes_style"), ("Show", "notes_style")]

html_theme = "furo"
html_title = f"bptt {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_show_search_summary = False  # a page opened as a file cannot read other files
pygments_dark_style = "monokai"
highlight_language = "text"  # of what is indented: commands, and what they print
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_search_scorer = str(Path(__file__).parent / "static" / "scorer.js")
