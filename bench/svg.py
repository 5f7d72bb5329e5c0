"""What the pictures of bench/ have in common."""

import textwrap
from xml.sax.saxutils import escape

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .paper { fill: #ffffff }
  .title { font-weight: 600; font-size: 15px }
  .small { font-size: 11px; fill: #59636e }
  .middle { text-anchor: middle } .end { text-anchor: end }
  .peer { fill: #8c959f } .ours { fill: #0969da } .wall { fill: none; stroke: #8c959f }
  .t1 { opacity: 0.55 }
  .axis { stroke: #d1d9e0; fill: none }
  .line { fill: none; stroke-width: 2 }
  .line.ours { stroke: #0969da; fill: none } .line.peer { stroke: #8c959f; fill: none }
  .mark { fill: none; stroke: #bc4c00; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .paper { fill: #0d1117 }
    .small { fill: #9198a1 }
    .peer { fill: #656c76 } .ours { fill: #4493f8 } .wall { stroke: #656c76 }
    .axis { stroke: #3d444d }
    .line.ours { stroke: #4493f8 } .line.peer { stroke: #656c76 }
    .mark { stroke: #f0883e }
  }
"""


def number(value):
    """As it is written beside a bar."""
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


SMALL_SIZE, LINE = 11, 16  # px: height of small letters, from one line of them to the next
EM = 0.53  # width of a letter in its size, on average, in the widest of the usual fonts


def small_lines(x, y, contents, width):
    """Paragraphs of small text wrapped to `width` px, from y on: (SVG elements, y below them)."""
    columns = int(width / (EM * SMALL_SIZE))
    lines = [line for content in contents for line in textwrap.wrap(content, columns)]
    return [text(x, y + i * LINE, line, "small") for i, line in enumerate(lines)], y + len(lines) * LINE


def text(x, y, content, kind=""):
    """One line of text."""
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{escape(content)}</text>'


def document(title, width, height, body):
    """The whole picture as SVG text."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
            *body,
            "</svg>\n",
        ]
    )
