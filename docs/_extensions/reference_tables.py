"""Pages that the code itself writes: the command line and the registry of model files."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from morphkit.archive.formats import FORMATS
from morphkit.cli import main


class CommandLine(SphinxDirective):
    """Every command with its text, arguments and options."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each command."""
        group = click.Context(main, info_name="morphkit")
        names = main.list_commands(group)
        return [self._section(name, click.Context(main.commands[name], group, name)) for name in names]

    def _section(self, name: str, context: click.Context) -> nodes.section:
        section = nodes.section(ids=[f"morphkit-{name}"], names=[f"morphkit-{name}"])
        section += nodes.title(text=f"morphkit {name}")
        pieces = " ".join(context.command.collect_usage_pieces(context))
        section += nodes.literal_block(text=f"{context.command_path} {pieces}", language="text")
        for paragraph in re.split(r"\n\s*\n", context.command.help or ""):
            section += nodes.paragraph("", "", *_prose(" ".join(paragraph.split()).replace("\b", "")))
        section += _options(context)
        return section


def _prose(text: str) -> Iterator[nodes.Node]:
    """Yield text with `quoted` parts as code."""
    for i, part in enumerate(text.split("`")):
        yield nodes.literal(text=part) if i % 2 else nodes.Text(re.sub(r"\*([^*]+)\*", r"\1", part))


def _options(context: click.Context) -> nodes.definition_list:
    options = nodes.definition_list(classes=["options"])
    records = [p.get_help_record(context) for p in context.command.get_params(context)]
    for flags, text in filter(None, records):
        if not text:
            continue  # an argument, which the text above describes
        term = nodes.term("", "", nodes.literal(text=flags))
        meaning = nodes.definition("", nodes.paragraph("", "", *_prose(text)))
        options += nodes.definition_list_item("", term, meaning)
    return options


class ModelFormats(SphinxDirective):
    """The layouts of model files that morphkit knows."""

    def run(self) -> list[nodes.Node]:
        """Return a table with a row for each."""
        rows = [("layout", "name in options", "is read", "is written to")]
        for layout in FORMATS:
            suffixes = ", ".join(layout.suffixes) if layout.write else "no"
            rows.append((layout.title, layout.key, "yes", suffixes))
        return [_table(rows)]


class ModelLayouts(SphinxDirective):
    """What each layout's own module says of it."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each module that reads a layout."""
        readers: dict[str, list[str]] = {}
        for layout in FORMATS:
            readers.setdefault(layout.read.__module__, []).append(layout.title)
        return [self._section(module, titles[0]) for module, titles in readers.items()]

    def _section(self, module: str, title: str) -> nodes.section:
        name = "layout-" + module.rpartition(".")[2].replace("_", "-")
        section = nodes.section(ids=[name], names=[name])
        section += nodes.title(text=title)
        for paragraph in re.split(r"\n\s*\n", inspect.getdoc(import_module(module)) or ""):
            if paragraph.startswith("    "):
                section += nodes.literal_block(text=textwrap.dedent(paragraph), language="text")
            else:
                text = " ".join(paragraph.split()).replace("``", "`")
                section += nodes.paragraph("", "", *_prose(text))
        return section


def _table(rows: list[tuple[str, ...]]) -> nodes.table:
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    lines = [nodes.row("", *[nodes.entry("", nodes.paragraph(text=text)) for text in row]) for row in rows]
    group += [nodes.thead("", lines[0]), nodes.tbody("", *lines[1:])]
    return nodes.table("", group)


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the directives."""
    app.add_directive("morphkit-command-line", CommandLine)
    app.add_directive("morphkit-model-formats", ModelFormats)
    app.add_directive("morphkit-model-layouts", ModelLayouts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
