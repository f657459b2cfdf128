"""The model-risk page (`document`) as Markdown and as HTML: one file, no script, nothing loaded from "
"elsewhere."""

import html
import re
from collections.abc import Iterable, Iterator

from quotegrid.tables.documents.document import Bullets, Grid, Section

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.8em;border-bottom:1px solid #ddd}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25em .7em "
    ".25em 0;"
    "border-bottom:1px solid #eee;overflow-wrap:anywhere}th{color:#666;font-weight:600}"
)
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$])")


def markdown(sections: Iterable[Section]) -> str:
    """The page as Markdown."""
    lines = []
    for number, section in enumerate(sections):
        lines += [f"{'#' if number == 0 else '##'} {_plain(section.title)}", ""]
        for part in section.parts:
            lines += [*_markdown_part(part), ""]
    return "\n".join(lines)


def _markdown_part(part: str | Bullets | Grid) -> Iterator[str]:
    if isinstance(part, str):
        yield _plain(part)
    elif isinstance(part, Bullets):
        yield from (f"- {_plain(sentence)}" for sentence in part.sentences)
    else:
        yield f"| {' | '.join(map(_plain, part.head))} |"
        yield f"|{' --- |' * len(part.head)}"
        yield from (f"| {' | '.join(map(_plain, row))} |" for row in part.rows)


def _plain(text: str) -> str:
    """Text in which Markdown finds nothing to do, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def html_page(sections: Iterable[Section]) -> str:
    """The page as one HTML file."""
    found = list(sections)
    body = "".join(
        f"<h{1 if number == 0 else 2}>{html.escape(section.title)}</h{1 if number == 0 else 2}>\n"
        + "".join(map(_html_part, section.parts))
        for number, section in enumerate(found)
    )
    title = html.escape(found[0].title)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}</body>\n</html>\n'


def _html_part(part: str | Bullets | Grid) -> str:
    if isinstance(part, str):
        return f"<p>{html.escape(part)}</p>\n"
    if isinstance(part, Bullets):
        return "<ul>\n" + "".join(f"<li>{html.escape(each)}</li>\n" for each in part.sentences) + "</ul>\n"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in part.head) if any(part.head) else ""
    rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in part.rows)
    first = f"<tr>{head}</tr>\n" if head else ""
    return "<table>\n" + first + "".join(f"<tr>{row}</tr>\n" for row in rows) + "</table>\n"
