// The charts of training and of the walks: two quantities, one above the other, epoch by epoch.
const COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888", "#e69f00"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const SYMBOLS = ["circle", "square", "diamond", "cross", "x", "triangle-up"];

const unique = (values) => [...new Set(values)];
// Both charts show a base in the same colour.
const BASES = unique(Object.values(DATA.charts).flatMap(({ lines }) => lines.map(({ base }) => base)));

/** One trace per line: the colour and the marker show the base, the dash the penalty of the walk. */
function tracesOf(chart, measure, panel) {
  const penalties = unique(chart.lines.map(({ walk }) => walk));
  return chart.lines.map((line) => {
    const base = BASES.indexOf(line.base);
    return {
      type: "scatter",
      mode: "lines+markers",
      name: line.name,
      meta: line.model,
      legendgroup: line.model,
      showlegend: panel === "",
      x: line.epoch,
      y: line[measure],
      xaxis: "x",
      yaxis: `y${panel}`,
      line: {
        color: COLOURS[base % COLOURS.length],
        dash: DASHES[penalties.indexOf(line.walk) % DASHES.length],
        width: 1.75,
      },
      marker: { size: 6, symbol: SYMBOLS[Math.floor(base / COLOURS.length) % SYMBOLS.length] },
      hovertemplate: `${line.model}<br>epoch %{x}<br><b>%{y}</b><extra></extra>`,
    };
  });
}

/** The target of a quantity as a dotted line across its panel. */
function targetLines(chart, measure, panel, ink) {
  const target = chart.targets[measure];
  if (target === undefined) return [];
  const line = { color: ink, width: 1, dash: "dot" };
  const label = { text: `target ${target}`, textposition: "end", yanchor: "bottom", font: { size: 11 } };
  return [{ type: "line", xref: "paper", x0: 0, x1: 1, yref: `y${panel}`, y0: target, y1: target, line, label }];
}

/** A label in lines that fit beside a panel. */
function wrapped(label) {
  const lines = [""];
  for (const word of label.split(" ")) {
    if (lines.at(-1).length + word.length > 36) lines.push("");
    lines[lines.length - 1] += `${word} `;
  }
  return lines.map((line) => line.trim()).join("<br>");
}

/** Ticks at whole epochs, of which there may be few. */
function wholeEpochs(chart) {
  const last = Math.max(...chart.lines.flatMap(({ epoch }) => epoch));
  return last <= 15 ? { dtick: 1 } : {};
}

function drawChart(id) {
  const chart = DATA.charts[id];
  const { rule, layout: common } = pageStyle(12);
  const [upper, lower] = ["upper", "lower"].map((panel) => element(`${id}-${panel}`).value);
  const axis = { gridcolor: rule, zeroline: false, linecolor: rule };
  const scale = (name) => (element(`${id}-log`).checked && name.endsWith("loss") ? "log" : "linear");
  const upright = (name, domain) => ({
    ...axis, domain, type: scale(name), title: { text: wrapped(chart.labels[name]) },
  });
  const ink = common.font.color;
  const legend = chart.lines.length <= 24; // a longer one would be taller than the panels
  const layout = {
    ...common,
    height: 600,
    margin: { l: 80, r: 10, t: 30, b: 45 },
    plot_bgcolor: "transparent",
    xaxis: { ...axis, anchor: "y2", title: { text: chart.x }, ...wholeEpochs(chart) },
    yaxis: upright(upper, [0.53, 1]),
    yaxis2: upright(lower, [0, 0.47]),
    shapes: [...targetLines(chart, upper, "", ink), ...targetLines(chart, lower, "2", ink)],
    showlegend: legend,
    legend: { orientation: "h", y: -0.12, yanchor: "top", x: 0 },
    hoverlabel: { align: "left" },
  };
  const traces = [...tracesOf(chart, upper, ""), ...tracesOf(chart, lower, "2")];
  Plotly.react(element(id), traces, layout, PLOT_OPTIONS);
}

addEventListener("DOMContentLoaded", () => {
  for (const [id, chart] of Object.entries(DATA.charts)) {
    const draw = () => drawChart(id);
    ["upper", "lower"].forEach((panel, k) => {
      const select = element(`${id}-${panel}`);
      options(select, Object.entries(chart.labels));
      select.value = chart.first[k];
      select.addEventListener("change", draw);
    });
    element(`${id}-log`).addEventListener("change", draw);
    whenShown("walks", draw);
  }
});
