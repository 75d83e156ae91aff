"""The style of a page: light or dark as the reader's system is, from a telephone's width to paper."""

LIGHT = """\
  --surface: #fbfbf9; --raised: #ffffff; --ink: #1c1c1a; --muted: #5c5c57; --line: #dcdcd6;
  --track: #ebebe6; --bar: #2868b0; --lost: #d0644a; --mark: #1c1c1a; --differs: #ffe9a8;
"""

DARK = """\
    --surface: #161614; --raised: #1f1f1c; --ink: #ecece8; --muted: #a8a8a1; --line: #3a3a36;
    --track: #2b2b28; --bar: #6ba6e8; --lost: #e58a70; --mark: #ecece8; --differs: #5c4a12;
"""

STYLE = (
    """
:root {
  color-scheme: light dark;
"""
    + LIGHT
    + """\
}
@media (prefers-color-scheme: dark) {
  :root {
"""
    + DARK
    + """\
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--surface); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 44rem; }
.note, figcaption, .of { color: var(--muted); font-size: .875rem; }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(8.75rem, 1fr)); gap: .75rem; margin: 1.25rem 0;
}
.tiles div { background: var(--raised); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { color: var(--muted); font-size: .8125rem; }
.tiles dd { margin: 0; font-size: 1.25rem; white-space: nowrap; font-weight: 600; line-height: 1.3; }
figure { margin: 1rem 0 .5rem; }
figcaption { margin-bottom: .6rem; }
svg { display: block; overflow: visible; font: 13px system-ui, sans-serif; }
@media (max-width: 30rem) { svg { font-size: 12px; } }
svg text { fill: var(--ink); }
svg .value { fill: var(--muted); font-variant-numeric: tabular-nums; }
svg .tick {
  fill: var(--muted); font-size: 12px; font-variant-numeric: tabular-nums;
  paint-order: stroke; stroke: var(--surface); stroke-width: 3px; stroke-linejoin: round;
}
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .track { fill: var(--track); }
svg .bar { fill: var(--bar); }
svg .column { stroke: var(--surface); stroke-width: 1px; }
svg .lost { fill: var(--lost); }
svg .grid { stroke: var(--line); }
svg .axis { stroke: var(--muted); }
svg .mark { stroke: var(--mark); stroke-width: 2px; }
.key { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; vertical-align: -1px; }
.key.bar { background: var(--bar); }
.key.lost { background: var(--lost); }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
td { overflow-wrap: normal; }
td:first-child { min-width: 9rem; }
th { color: var(--muted); font-weight: 500; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number:first-child, td.number:first-child { text-align: left; }
details { margin: .4rem 0; }
summary { cursor: pointer; padding: .2rem 0; }
summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
summary .of { font-variant-numeric: tabular-nums; }
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: .75rem; }
.sample {
  background: var(--raised); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; min-width: 0;
}
.sample .name { font: .75rem/1.4 ui-monospace, monospace; color: var(--muted); overflow-wrap: anywhere; }
.sample .text {
  margin: .4rem 0 0; font-size: .875rem; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext;
}
mark { background: var(--differs); color: inherit; border-radius: 2px; }
@media print {
  :root {
    --surface: #ffffff; --raised: #ffffff; --ink: #000000; --muted: #444444; --line: #bbbbbb;
    --track: #eeeeee; --bar: #2868b0; --lost: #d0644a; --mark: #000000; --differs: #ffe9a8;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  svg, .key, mark { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .sample, .tiles div, tr { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; }
  .scroll { overflow: visible; }
}
"""
)
