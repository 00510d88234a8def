"""How a report looks: on a screen, light or dark, broad or narrow, and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --paper: #ffffff;
  --line: #d0d7de; --panel: #f6f8fa; --authority: #0550ae; --bad: #b3261e; --good: #116329;
  --asked: #8250df; --there: #8c959f; --hatch: #9aa4ae; --lit: #fff3bf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9da7b1; --paper: #0d1117;
  --line: #3d444d; --panel: #161c24; --authority: #79b8ff; --bad: #ff8a80; --good: #7ee787;
  --asked: #d2a8ff; --there: #8b949e; --hatch: #59636e; --lit: #4d3f0a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1.5rem 1rem 3rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.25rem 0 .75rem; padding-bottom: .25rem; font-size: 1.2rem;
  border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 60rem; }
a { color: var(--authority); }
nav ul, .legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .75rem 0;
  padding: 0; list-style: none; }
.notes { margin: .5rem 0; padding-left: 1.25rem; }
.legend, .about, .none { color: var(--dim); }
.legend, .about { font-size: .87rem; }
.wide { margin: .75rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
caption { padding: .25rem 0; color: var(--dim); text-align: left; caption-side: top; }
th, td { padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--dim); font-size: .75rem; letter-spacing: .03em; white-space: nowrap; }
.facts th { color: var(--dim); font-weight: normal; white-space: nowrap; }
td { max-width: 34rem; overflow-wrap: break-word; }
td.prose { min-width: min(12rem, 40vw); }
.id, .number { white-space: nowrap; }
.number { text-align: right; }
tr:has(+ tr.same) td { border-bottom-style: dotted; }
tr.gap td {
  background: repeating-linear-gradient(-45deg, transparent 0 6px, var(--panel) 6px 12px); }
tr:target td { background: var(--lit); }
.flagged { color: var(--bad); font-weight: 700; fill: var(--bad); }
strong.flagged::before { content: "! "; }
svg { display: block; }
svg text { fill: var(--ink); font: 13px/1 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
  monospace; }
svg text.name { font-weight: 700; }
svg text.flagged { fill: var(--bad); font-weight: 700; }
svg text.cluster { fill: var(--dim); }
svg text.tick { fill: var(--dim); font-size: 10px; }
svg a:hover text.tick, svg a:focus text.tick { fill: var(--authority); }
.stream { fill: none; stroke: var(--there); stroke-width: 2; }
.node { fill: var(--panel); stroke: var(--there); }
.holder { stroke: var(--authority); stroke-width: 3; }
.absent { stroke-dasharray: 4 4; fill: none; }
.wrong { stroke: var(--bad); stroke-width: 3; }
.icon { display: inline-block; margin-right: .35rem; vertical-align: -3px; }
.ground { stroke: var(--line); stroke-dasharray: 1 5; }
.tick { stroke: var(--line); }
svg text.tick { stroke: none; }
.there { stroke: var(--there); stroke-width: 2; }
.holds { stroke: var(--authority); stroke-width: 9; stroke-opacity: .55; }
.gap { fill: url(#hatch); }
.hatch { stroke: var(--hatch); stroke-width: 2; }
.mark { stroke: var(--paper); stroke-width: 1; fill: var(--dim); }
.mark.gained, .mark.lost { fill: var(--authority); }
.mark.crash { stroke: var(--bad); stroke-width: 3.5; }
.mark.asked { fill: var(--paper); stroke: var(--asked); stroke-width: 2; }
.mark.dispatched { fill: var(--asked); }
.mark.executed { fill: var(--good); }
.mark.refused { fill: var(--paper); stroke: var(--bad); stroke-width: 2; }
.defined { position: absolute; }
@media (max-width: 60rem) { table { width: max-content; } }
@page { size: A4 landscape; margin: 12mm; }
@media print {
  :root { color-scheme: light; --ink: #000000; --dim: #444444; --paper: #ffffff;
    --line: #bbbbbb; --panel: #f2f2f2; --authority: #0550ae; --bad: #a40e26; --good: #116329;
    --asked: #6639ba; --there: #777777; --hatch: #999999; --lit: #ffffff; }
  body { max-width: none; padding: 0; font-size: 10pt; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  nav { display: none; }
  .wide { overflow: visible; }
  table { width: 100%; font-size: 7pt; }
  table.facts { width: auto; }
  th, td, .id, .number, thead th { white-space: normal; overflow-wrap: anywhere; }
  th, td { padding-right: .4rem; }
  thead th { font-size: 5.5pt; letter-spacing: 0; }
  td.prose { min-width: 0; }
  tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  svg { max-width: 100%; height: auto; break-inside: avoid; }
  svg.icon { width: 16px; height: 16px; }
}
"""
"""A sheet that asks for nothing from outside."""
