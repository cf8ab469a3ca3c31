// Says, line by line, what axe-core finds wrong. The script of axe-core was evaluated before. It takes ten seconds for
// the largest tables, and rows are alike, so that only the first of each table stay.
document.querySelectorAll('tbody > tr:nth-child(n + 17), .workload:nth-of-type(n + 9)').forEach(row => row.remove())
axe.run(document, {
  runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] },
  rules: { 'target-size': { enabled: true } }, // which is off unless asked for
  resultTypes: ['violations'],
  preload: false, // it would ask for the stylesheet once more, which the page's policy forbids
}).then(result => result.violations.flatMap(v => v.nodes.slice(0, 3).map(n =>
  `${v.id} (${v.help}), ${v.nodes.length} times: ${n.html.slice(0, 120)}: ${n.failureSummary.replace(/\s+/g, ' ')}`)))
