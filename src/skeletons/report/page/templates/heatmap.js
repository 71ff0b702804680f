// The heatmap: one measure of all pairs, and next to it every measure of one pair.
const PAIRS = DATA.pairs;
const LABELS = 55; // more row names than this would overlap

const chosen = () => ({ set: element("set").value, name: element("measure").value });

/** The measures on the images of `set`, and those that need no images. */
const measuresOn = (set) => PAIRS.measures.filter((one) => one.set === null || one.set === set);

function currentMeasure() {
  const { set, name } = chosen();
  return measuresOn(set).find((one) => one.name === name) ?? measuresOn(set)[0];
}

/** The position of the value of models i and j among a measure's values; -1 if it has none. */
function positionOf(measure, i, j) {
  const n = measure.models.length;
  const [a, b] = [measure.models.indexOf(i), measure.models.indexOf(j)].sort((x, y) => x - y);
  return a < 0 || a === b ? -1 : a * n - (a * (a + 1)) / 2 + (b - a - 1);
}

function orderOf(measure) {
  if (element("order").value === "clustered") return measure.clustered;
  if (element("order").value === "base") return measure.models;
  const present = new Set(measure.models);
  return PAIRS.sparsity.filter((model) => present.has(model));
}

/** The values as a matrix, with models in the given order; the diagonal is empty. */
function matrixOf(measure, order) {
  const n = measure.models.length;
  const rank = new Map(order.map((model, row) => [model, row]));
  const rowOf = measure.models.map((model) => rank.get(model));
  const rows = order.map(() => new Array(n).fill(null));
  let next = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const value = measure.values[next++];
      rows[rowOf[i]][rowOf[j]] = rows[rowOf[j]][rowOf[i]] = value;
    }
  }
  return rows;
}

/** Lines between the blocks of two bases, if models are ordered by base. */
function linesBetweenBases(order) {
  if (element("order").value !== "base") return [];
  const seeds = order.map((model) => PAIRS.models[model].seed);
  const cuts = seeds.flatMap((seed, k) => (k > 0 && seed !== seeds[k - 1] ? [k - 0.5] : []));
  const [low, high] = [-0.5, order.length - 0.5];
  const line = { color: "white", width: 1.5 };
  return cuts.flatMap((at) => [
    { type: "line", x0: at, x1: at, y0: low, y1: high, line },
    { type: "line", x0: low, x1: high, y0: at, y1: at, line },
  ]);
}

/** The names of the visible rows: all, or every second, third, … */
function ticks(order, from, to) {
  const step = Math.max(1, Math.ceil((to - from) / LABELS));
  const places = [...order.keys()].filter((k) => k >= from && k <= to && k % step === 0);
  return { tickvals: places, ticktext: places.map((k) => PAIRS.models[order[k]].id) };
}

/** The style that all plots share: the colours and the font of the page. */
function pageStyle(size) {
  const style = getComputedStyle(document.body);
  const [ink, soft, rule, gap] = ["ink", "soft", "rule", "gap"].map((name) =>
    style.getPropertyValue(`--${name}`).trim(),
  );
  const layout = {
    paper_bgcolor: "transparent",
    font: { color: ink, family: style.fontFamily, size },
    modebar: { bgcolor: "transparent", color: soft, activecolor: ink },
  };
  return { rule, gap, layout };
}

const PLOT_OPTIONS = {
  displaylogo: false,
  responsive: true,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none of which goes online
};

function drawMap() {
  const measure = currentMeasure();
  if (measure === undefined) return;
  const map = element("map");
  const order = orderOf(measure);
  const { gap, layout: common } = pageStyle(10);
  const ids = order.map((model) => PAIRS.models[model].id);
  const z = matrixOf(measure, order);
  const trace = {
    type: "heatmap",
    z,
    customdata: z.map((row, i) => row.map((value, j) => [ids[i], ids[j], value ?? "no value"])),
    hovertemplate:
      "%{customdata[0]}<br>%{customdata[1]}<br><b>%{customdata[2]}</b><extra></extra>",
    hoverongaps: true,
    colorscale: DATA.colours,
    reversescale: !measure.alike, // similar models are bright
    colorbar: { thickness: 12, len: 0.9, outlinewidth: 0, tickfont: { size: 11 } },
  };
  const axis = { range: [-0.5, order.length - 0.5], showgrid: false, zeroline: false, ticks: "" };
  const names = 15 + 5.3 * Math.max(...ids.map((id) => id.length)); // their width in pixels
  const beside = names + 75; // and the width of the scale
  const side = Math.max(320, Math.min(map.clientWidth - beside, innerHeight - 260, 760));
  const layout = {
    ...common,
    height: side + 50,
    width: side + beside,
    margin: { l: names, r: 75, t: 40, b: 10 },
    plot_bgcolor: gap,
    xaxis: { ...axis, showticklabels: false },
    yaxis: { ...axis, range: axis.range.toReversed(), ...ticks(order, 0, order.length - 1), tickfont: { size: 9 } },
    shapes: linesBetweenBases(order),
    title: { text: measure.label, font: { size: 13 }, x: 0, xref: "paper", y: 0.985 },
  };
  Plotly.react(map, [trace], layout, PLOT_OPTIONS);
  map.order = order;
}

/** After a zoom, name as many of the visible rows as there is room for. */
function renameRows() {
  const map = element("map");
  const [y0, y1] = [...map.layout.yaxis.range].sort((x, y) => x - y);
  const { tickvals, ticktext } = ticks(map.order, Math.ceil(y0), Math.floor(y1));
  if (tickvals.join() === map.layout.yaxis.tickvals.join()) return;
  Plotly.relayout(map, { "yaxis.tickvals": tickvals, "yaxis.ticktext": ticktext });
}

function cell(tag, text, name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}

/** Show every measure of a pair, and links to its two models. */
function showPair(i, j) {
  element("pair-a").value = i;
  element("pair-b").value = j;
  const links = [i, j].map((model) => {
    const link = cell("a", PAIRS.models[model].id);
    link.href = `#model=${encodeURIComponent(PAIRS.models[model].id)}`;
    return link;
  });
  element("pair-links").replaceChildren(links[0], document.createElement("br"), links[1]);
  const reasons = new Set();
  const rows = measuresOn(chosen().set).map((measure) => {
    const position = positionOf(measure, i, j);
    const value = measure.values[position] ?? null;
    if (measure.reasons[position]) reasons.add(measure.reasons[position]);
    const row = document.createElement("tr");
    const head = cell("th", measure.label);
    head.scope = "row";
    row.dataset.measure = measure.name;
    row.classList.toggle("chosen", measure === currentMeasure());
    row.append(head, cell("td", value === null ? "–" : String(value), "number"));
    return row;
  });
  element("pair").tBodies[0].replaceChildren(...rows);
  element("pair-state").textContent =
    i === j ? "Choose two different models." : [...reasons].map((why) => `No value: ${why}.`).join(" ");
}

const pairChosen = () => showPair(Number(element("pair-a").value), Number(element("pair-b").value));

/** Pointing at a cell shows its pair; a click keeps the pair, so that its links can be reached. */
function followPointer() {
  const map = element("map");
  const pairAt = (event) => [event.points[0].y, event.points[0].x].map((k) => map.order[k]);
  let kept = null;
  map.on("plotly_hover", (event) => kept ?? showPair(...pairAt(event)));
  map.on("plotly_click", (event) => {
    const pair = pairAt(event);
    kept = kept?.join() === pair.join() ? null : pair;
    showPair(...pair);
    if (kept) element("pair-state").append(" Kept; click again to release.");
  });
  map.on("plotly_relayout", renameRows);
}

function options(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
}

function prepareMap() {
  const unique = (values) => [...new Set(values)];
  const sets = unique(PAIRS.measures.flatMap((one) => (one.set === null ? [] : [one.set])));
  options(element("set"), sets.map((set) => [set, set]));
  fillMeasures(DATA.first);
  const models = PAIRS.models.map(({ id }, k) => [k, id]);
  for (const id of ["pair-a", "pair-b"]) {
    options(element(id), models);
    element(id).addEventListener("change", pairChosen);
  }
  element("pair-b").value = Math.min(1, models.length - 1);
  element("set").addEventListener("change", () => fillMeasures(chosen().name));
  for (const id of ["measure", "set", "order"]) {
    element(id).addEventListener("change", () => {
      drawMap();
      pairChosen();
    });
  }
}

/** Offer the measures on the chosen images, and choose the given one if it is among them. */
function fillMeasures(name) {
  const offered = measuresOn(chosen().set).map((one) => [one.name, one.label]);
  options(element("measure"), offered);
  if (offered.some(([value]) => value === name)) element("measure").value = name;
}

addEventListener("DOMContentLoaded", () => {
  prepareMap();
});
let mapIsFollowed = false;
whenShown("heatmap", () => {
  drawMap();
  if (mapIsFollowed || currentMeasure() === undefined) return;
  mapIsFollowed = true;
  pairChosen();
  followPointer();
});
