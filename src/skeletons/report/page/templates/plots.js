// What the heatmap and the charts share.

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


function options(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
}

/** The width of a text in pixels, in the font of the page. */
function widthOf(text, size) {
  const context = (widthOf.canvas ??= document.createElement("canvas")).getContext("2d");
  context.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return context.measureText(text).width;
}

/** Draw again when the page's width changes, because widths of names are measured in pixels. */
function redrawOnResize(id, page, draw) {
  new ResizeObserver(() => {
    const width = element(id).parentElement.clientWidth;
    if (element(page).hidden || width === redrawOnResize[id]) return;
    redrawOnResize[id] = width;
    draw();
  }).observe(element(id).parentElement);
}
