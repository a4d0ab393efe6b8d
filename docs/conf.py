"""How Sphinx builds these pages: `make -C docs html`. Nothing is fetched, neither here nor by the reader."""

import shutil
import sys
from pathlib import Path

import matplotlib

import morphkit

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_extensions")]
matplotlib.use("Agg")

project, author, release = "morphkit", "The morphkit authors", morphkit.__version__
project_copyright = "The morphkit authors; text and figures Apache-2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "plain_docstrings",
    "reference_tables",
    "figures",
]
exclude_patterns = ["_build", "_extensions", "**/README.md"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = f"morphkit {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["morphkit.css"]
html_copy_source = html_show_sourcelink = False

default_role = "py:obj"  # of docstrings: a link where there is something to link to, else code
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # a parameter's name, an option, a file
    ("py:class", r"morphkit\.\w+\..+"),  # annotations' inner types; those that matter are in api/results.md
    ("py:(class|data|exc|func|meth|attr)", r"(?!morphkit).*"),  # to build offline, no other project is linked
]
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
autosummary_generate = False
numpydoc_show_class_members = False

linkcheck_anchors = False  # pages that scripts fill have none to find
linkcheck_timeout = 20


def _fresh_examples() -> str:
    """Return a folder with copies of the examples, which may write beside themselves."""
    copies = HERE / "_build" / "examples"
    shutil.rmtree(copies, ignore_errors=True)
    shutil.copytree(HERE.parent / "examples", copies, ignore=shutil.ignore_patterns("__pycache__"))
    return str(copies)


sphinx_gallery_conf = {
    "examples_dirs": _fresh_examples(),
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "show_signature": False,
}
