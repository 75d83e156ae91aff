"""What the report adds to the style of a page, and the one script it has: the button that changes light and dark."""

from lumilab.page.style import DARK, LIGHT, STYLE

_LIGHT_CURVES = """\
  --s0: #2868b0; --s1: #b04a1a; --s2: #2a7a4b; --s3: #7748a8; --s4: #8a6200; --s5: #a83a5b;
  --good: #2a7a4b; --old: #8a6200; --broken: #b3261e;
"""

_DARK_CURVES = """\
  --s0: #6ba6e8; --s1: #f0a070; --s2: #7fc99a; --s3: #c09de6; --s4: #dcb45a; --s5: #ee8fab;
  --good: #7fc99a; --old: #dcb45a; --broken: #ff9d94;
"""

_PIECES = """\
body { max-width: 64rem; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: start; justify-content: space-between; }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
section section h3 { border: 0; }
nav { margin: 1rem 0; font-size: .875rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 0; padding: 0; list-style: none; }
a { color: var(--bar); }
a:focus-visible, button:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
button {
  font: inherit; font-size: .875rem; color: var(--ink); background: var(--raised); border: 1px solid var(--line);
  border-radius: .5rem; padding: .3rem .7rem; cursor: pointer;
}
[hidden] { display: none !important; }
code, .id { font-family: ui-monospace, monospace; font-size: .8125rem; overflow-wrap: anywhere; }
.warning { border-left: 3px solid var(--old); padding-left: .75rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: .5rem 2rem;
  align-items: end;
}
.charts figure { min-width: 0; }
figcaption strong { color: var(--ink); font-weight: 600; }
svg.curves { padding-left: 3.25rem; }
svg.arcs { min-width: 22.25rem; }
svg .curve { fill: none; stroke-width: 1.75px; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
svg .error { stroke-width: 1.75px; }
svg .small { font-size: 12px; }
svg .strong { font-weight: 600; }
svg .baseline { stroke: var(--ink); stroke-width: 2px; stroke-dasharray: 2 2; }
svg .arc { fill: none; stroke: var(--muted); stroke-width: 1.25px; }
svg .tip { fill: var(--muted); }
svg .node { fill: var(--good); }
svg .node.old { fill: var(--old); }
svg .node.broken { fill: var(--broken); }
svg .node.open { fill: var(--surface); stroke: var(--muted); stroke-width: 2px; }
svg .curve.s0, svg .error.s0 { stroke: var(--s0); } svg .dot.s0 { fill: var(--s0); } .stroke.s0 { color: var(--s0); }
svg .curve.s1, svg .error.s1 { stroke: var(--s1); } svg .dot.s1 { fill: var(--s1); } .stroke.s1 { color: var(--s1); }
svg .curve.s2, svg .error.s2 { stroke: var(--s2); } svg .dot.s2 { fill: var(--s2); } .stroke.s2 { color: var(--s2); }
svg .curve.s3, svg .error.s3 { stroke: var(--s3); } svg .dot.s3 { fill: var(--s3); } .stroke.s3 { color: var(--s3); }
svg .curve.s4, svg .error.s4 { stroke: var(--s4); } svg .dot.s4 { fill: var(--s4); } .stroke.s4 { color: var(--s4); }
svg .curve.s5, svg .error.s5 { stroke: var(--s5); } svg .dot.s5 { fill: var(--s5); } .stroke.s5 { color: var(--s5); }
svg .curve.s1 { stroke-dasharray: 6 3; } svg .curve.s2 { stroke-dasharray: 2 3; }
svg .curve.s3 { stroke-dasharray: 9 3 2 3; } svg .curve.s4 { stroke-dasharray: 12 4; }
svg .curve.s5 { stroke-dasharray: 1 2; }
svg .curve.faint { opacity: .55; stroke-dasharray: none; }
.legend { display: inline-block; margin-right: .9rem; white-space: nowrap; }
.stroke {
  display: inline-block; width: 1.5rem; margin-right: .35rem; border-top: 3px solid currentColor; vertical-align: .25em;
}
.stroke:not(.s0) { border-top-style: dashed; }
.stroke.faint { opacity: .55; }
dl.texts dt { color: var(--muted); font-size: .8125rem; margin-top: .6rem; }
dl.texts dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; font-size: .875rem; }
@media print { nav, header button { display: none; } .charts { grid-template-columns: 1fr 1fr; } }
"""

REPORT_STYLE = (
    STYLE
    + ":root {\n"
    + _LIGHT_CURVES
    + "}\n@media (prefers-color-scheme: dark) {\n:root {\n"
    + _DARK_CURVES
    + '}\n}\n@media screen {\n:root[data-theme="light"] { color-scheme: light;\n'
    + LIGHT
    + _LIGHT_CURVES
    + '}\n:root[data-theme="dark"] { color-scheme: dark;\n'
    + DARK
    + _DARK_CURVES
    + "}\n}\n@media print {\n:root {\n"
    + _LIGHT_CURVES
    + "}\n}\n"
    + _PIECES
)

# The button is hidden until this runs: without scripts the page follows the system, and no button is dead.
SCRIPT = """\
"use strict";
const button = document.getElementById("theme");
const root = document.documentElement;
const dark = () => root.dataset.theme
  ? root.dataset.theme === "dark"
  : matchMedia("(prefers-color-scheme: dark)").matches;
const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
label();
button.hidden = false;
"""
