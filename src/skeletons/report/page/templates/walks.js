// The walks along the ridge: two of their columns, one above the other, epoch by epoch.

const COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888", "#e69f00"];
const DASHES = ["solid", "dash", "dot", "dashdot"];

/** One line per walk: the colour shows the base, the dash the penalty. */
function walkTraces(measure, panel) {
  const seeds = [...new Set(DATA.walks.map(({ model }) => model.split("_")[0]))];
  const penalties = [...new Set(DATA.walks.map(({ model }) => model.split("_")[1]))];
  return DATA.walks.map((walk) => {
    const [seed, penalty] = walk.model.split("_");
    return {
      type: "scatter",
      mode: "lines+markers",
      name: walk.model,
      legendgroup: walk.model,
      showlegend: panel === "",
      x: walk.epoch,
      y: walk[measure],
      xaxis: "x",
      yaxis: `y${panel}`,
      line: {
        color: COLOURS[seeds.indexOf(seed) % COLOURS.length],
        dash: DASHES[penalties.indexOf(penalty) % DASHES.length],
        width: 1.75,
      },
      marker: { size: 5 },
      hovertemplate: `${walk.model}<br>epoch %{x}<br><b>%{y}</b><extra></extra>`,
    };
  });
}

function drawWalks() {
  const plot = element("walk");
  const { rule, layout: common } = pageStyle(12);
  const [upper, lower] = [element("walk-upper").value, element("walk-lower").value];
  const axis = { gridcolor: rule, zeroline: false, linecolor: rule };
  const scale = (name) => (element("walk-log").checked && name.endsWith("loss") ? "log" : "linear");
  const upright = (name, domain) => ({
    ...axis, domain, type: scale(name), title: { text: DATA.walked[name] },
  });
  const layout = {
    ...common,
    height: 560,
    margin: { l: 70, r: 10, t: 30, b: 45 },
    plot_bgcolor: "transparent",
    xaxis: { ...axis, anchor: "y2", title: { text: "epoch of regularisation" } },
    yaxis: upright(upper, [0.53, 1]),
    yaxis2: upright(lower, [0, 0.47]),
    hoverlabel: { align: "left" },
  };
  Plotly.react(plot, [...walkTraces(upper, ""), ...walkTraces(lower, "2")], layout, PLOT_OPTIONS);
}

addEventListener("DOMContentLoaded", () => {
  for (const [id, first] of [["walk-upper", Object.keys(DATA.walked)[0]], ["walk-lower", "distance"]]) {
    options(element(id), Object.entries(DATA.walked));
    element(id).value = first;
    element(id).addEventListener("change", drawWalks);
  }
  element("walk-log").addEventListener("change", drawWalks);
});
whenShown("walks", drawWalks);
