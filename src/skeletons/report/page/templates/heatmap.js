// The heatmap: one measure of all pairs, and next to it every measure of one pair.
const PAIRS = DATA.pairs;
const [NAME, SMALLEST] = [11, 13]; // the size of a model's name and its smallest row, in pixels
const SCALE = 75; // the width of the colour scale with its numbers
const NARROW = 560; // on a narrower page, models have no names beside their rows

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

/** The values as a matrix, with models in the given order; the diagonal is as in the figures. */
function matrixOf(measure, order) {
  const n = measure.models.length;
  const rank = new Map(order.map((model, row) => [model, row]));
  const rowOf = measure.models.map((model) => rank.get(model));
  const rows = order.map(() => new Array(n).fill(null));
  rows.forEach((row, k) => { row[k] = measure.itself; });
  let next = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const value = measure.values[next++];
      rows[rowOf[i]][rowOf[j]] = rows[rowOf[j]][rowOf[i]] = value;
    }
  }
  return rows;
}

const byBase = () => element("order").value === "base";

/** The rows of each base, if models are ordered by base: its name, first row and last row. */
function groupsOf(order) {
  if (!byBase()) return [];
  const found = [];
  order.forEach((model, row) => {
    const { base } = PAIRS.models[model];
    if (found.at(-1)?.base === base) found.at(-1).last = row;
    else found.push({ base, first: row, last: row });
  });
  return found;
}

/** Lines between the groups of two bases. */
function linesBetweenBases(order) {
  const [low, high] = [-0.5, order.length - 0.5];
  const line = { color: "white", width: 1.5 };
  return groupsOf(order).slice(1).flatMap(({ first }) => [
    { type: "line", x0: first - 0.5, x1: first - 0.5, y0: low, y1: high, line },
    { type: "line", x0: low, x1: high, y0: first - 0.5, y1: first - 0.5, line },
  ]);
}

/** The name of each base beside the visible part of its rows, and above that of its columns. */
function namesOfBases(order, [x0, x1], [y0, y1], side) {
  const style = { showarrow: false, font: { size: 11 } };
  const along = (from, to, place) =>
    groupsOf(order).flatMap(({ base, first, last }) => {
      const [start, end] = [Math.max(first, from), Math.min(last, to)];
      const room = (side * (end - start + 1)) / (to - from + 1);
      return room < widthOf(base, 11) ? [] : [place(base, (start + end) / 2)];
    });
  return [
    ...along(x0, x1, (text, x) => ({
      ...style, text, x, xref: "x", y: 1, yref: "paper", yanchor: "bottom",
    })),
    ...along(y0, y1, (text, y) => ({
      ...style, text, y, yref: "y", x: 0, xref: "paper", xanchor: "right",
      xshift: -element("map").names, textangle: -90,
    })),
  ];
}

/** The name of a model beside its row; its base stands beside the group, if there are groups. */
function nameOf(model) {
  const { base, recipe } = PAIRS.models[model];
  return byBase() ? recipe : `${base}, ${recipe}`;
}

/** The names of the visible rows: all, or every second, third, … */
function ticks(order, from, to, room) {
  const step = Math.max(1, Math.ceil(((to - from + 1) * SMALLEST) / room));
  const places = [...order.keys()].filter((k) => k >= from && k <= to && k % step === 0);
  return { tickvals: places, ticktext: places.map((k) => nameOf(order[k])) };
}

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
  const width = map.parentElement.clientWidth;
  const narrow = width < NARROW;
  const widest = Math.max(...order.map((model) => widthOf(nameOf(model), NAME)));
  map.names = narrow ? 0 : widest + 8; // their width in pixels
  const left = map.names + (byBase() ? 20 : 4);
  const beside = left + SCALE;
  map.side = Math.min(width - beside, Math.max(320, innerHeight - 230));
  const rows = [0, order.length - 1];
  const layout = {
    ...common,
    height: map.side + 64,
    width: map.side + beside,
    margin: { l: left, r: SCALE, t: 54, b: 10 },
    plot_bgcolor: gap,
    xaxis: { ...axis, showticklabels: false },
    yaxis: {
      ...axis, range: axis.range.toReversed(), ...ticks(order, ...rows, map.side),
      showticklabels: !narrow, tickfont: { size: NAME },
    },
    shapes: linesBetweenBases(order),
    annotations: namesOfBases(order, rows, rows, map.side),
    title: {
      text: measure.label, font: { size: 13 }, x: 0, xref: "paper", y: 1, yref: "container",
      yanchor: "top", pad: { t: 4 },
    },
  };
  Plotly.react(map, [trace], layout, PLOT_OPTIONS);
  map.order = order;
}

/** After a zoom, name as many of the visible rows as there is room for, and their bases. */
function renameRows() {
  const map = element("map");
  const visible = ({ range }) => {
    const [from, to] = [...range].sort((x, y) => x - y);
    return [Math.ceil(from), Math.floor(to)];
  };
  const [columns, rows] = [visible(map.layout.xaxis), visible(map.layout.yaxis)];
  const { tickvals, ticktext } = ticks(map.order, ...rows, map.side);
  if (`${columns}|${rows}` === map.shown) return;
  map.shown = `${columns}|${rows}`;
  Plotly.relayout(map, {
    "yaxis.tickvals": tickvals,
    "yaxis.ticktext": ticktext,
    annotations: namesOfBases(map.order, columns, rows, map.side),
  });
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

function prepareMap() {
  if (PAIRS.shared) element("shared").textContent = `All walks have ${PAIRS.shared}.`;
  const unique = (values) => [...new Set(values)];
  const sets = unique(PAIRS.measures.flatMap((one) => (one.set === null ? [] : [one.set])));
  sets.sort((a, b) => DATA.controls.includes(a) - DATA.controls.includes(b)); // these have no vote
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
  redrawOnResize("map", "heatmap", drawMap);
});
let mapIsFollowed = false;
whenShown("heatmap", () => {
  drawMap();
  if (mapIsFollowed || currentMeasure() === undefined) return;
  mapIsFollowed = true;
  pairChosen();
  followPointer();
});
