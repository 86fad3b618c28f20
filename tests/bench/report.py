"""The table of the benchmark: its figures, and the files and lines that show them."""

import csv
import dataclasses
import html
import statistics


@dataclasses.dataclass
class Figure:
    """What was measured, once for each round, and its target."""

    row: str  # the line of the table of targets
    what: str
    unit: str
    target: float
    at_least: bool  # the target is the least; otherwise it is the most
    values: list
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def met(self):
        return self.median >= self.target if self.at_least else self.median <= self.target

    @property
    def score(self):
        """How far it is from the target: 1 is the target, more is better."""
        if self.at_least:
            return self.median / self.target
        return self.target / max(self.median, self.target / 100)

    def cells(self):
        spread = f"{number(min(self.values))} to {number(max(self.values))}" if len(self.values) > 1 else ""
        sign = "≥" if self.at_least else "≤"
        return [self.row, self.what, f"{sign} {number(self.target)} {self.unit}".strip(),
                f"{number(self.median)} {self.unit}".strip(), spread, "met" if self.met else "missed", self.note]


HEAD = ["row", "figure", "target", "median", "spread", "", "note"]


@dataclasses.dataclass
class Detail:
    """What one server did: medians of the rounds."""

    server: str
    load: str
    calls_per_s: float
    cpu_us: float  # of the server, for each call
    p50_ms: float
    p99_ms: float
    client_us: float

    def cells(self):
        return [self.server, self.load, *map(number, (self.calls_per_s, self.cpu_us, self.p50_ms, self.p99_ms,
                                                      self.client_us))]


DETAIL_HEAD = ["server", "load", "calls/s", "CPU us/call", "p50 ms", "p99 ms", "client's CPU us/call"]


def number(value):
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text_table(head, lines):
    lines = [head, *lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _markdown_table(head, lines):
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _svg(figures):
    """Bars that end at median / target (or target / median where less is better), on a line for each figure."""
    left, width, line, most = 400, 480, 22, 2.0
    height = line * len(figures) + 50
    one = left + width / most

    def bar(index, figure):
        y = 30 + index * line
        end = min(figure.score, most) * width / most
        state = "met" if figure.met else "missed"
        label = html.escape(f"{figure.row}: {figure.what}" if figure.what else figure.row)
        values = html.escape(" ".join([figure.cells()[3], "/", figure.cells()[2]]))
        return (f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{label}</text>'
                f'<rect class="{state}" x="{left}" y="{y + 2}" width="{end:.1f}" height="{line - 8}"/>'
                f'<text x="{left + 6}" y="{y + 12}" class="value">{values}</text>')

    bars = "\n".join(bar(index, figure) for index, figure in enumerate(figures))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {height}" role="img">
<title>Measured figures beside their targets</title>
<style>
text {{ font: 11px sans-serif; fill: #24292f; }}
.value {{ font-size: 10px; }}
.met {{ fill: #7cb98b; }}
.missed {{ fill: #e0a06a; }}
line {{ stroke: #57606a; stroke-dasharray: 3 3; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #e6edf3; }} .met {{ fill: #2f6f43; }} .missed {{ fill: #8a5220; }} line {{ stroke: #9da7b1; }}
}}
</style>
<text x="{one}" y="16" text-anchor="middle">target; longer is better</text>
{bars}
<line x1="{one}" y1="22" x2="{one}" y2="{height - 12}"/>
</svg>
"""


def write(folder, machine, figures, details):
    """Writes table.md, table.csv and table.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [figure.cells() for figure in figures]
    detail_lines = [detail.cells() for detail in details]
    (folder / "table.md").write_text(
        f"# tokend beside others\n\n{machine}\n\n{_markdown_table(HEAD, lines)}\n\n"
        f"{_markdown_table(DETAIL_HEAD, detail_lines)}\n\n![Figures beside their targets](table.svg)\n")
    with open(folder / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "figure", "unit", "target", "target_is", "median", "least", "most", "met", "rounds",
                         "note"])
        for figure in figures:
            writer.writerow([figure.row, figure.what, figure.unit, figure.target,
                             "least" if figure.at_least else "most", f"{figure.median:.6g}",
                             f"{min(figure.values):.6g}", f"{max(figure.values):.6g}", figure.met,
                             len(figure.values), figure.note])
    (folder / "table.svg").write_text(_svg(figures))
