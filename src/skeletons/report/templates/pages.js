"use strict";
// The pages of the report: one is shown at a time, the one that the address names after its #.
// `#model=ID` is that model's row in the grid.
const DATA = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);

/** Say to run `action` each time that a page is shown: a plot needs a place that has a size. */
function whenShown(id, action) {
  element(id).addEventListener("shown", action);
}

function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // not an address that a browser made
  }
}

function showPage() {
  const wanted = fragment();
  const pages = [...document.querySelectorAll("main > section")];
  const name = wanted.startsWith("model=") ? "grid" : wanted;
  const shown = pages.find((page) => page.id === name) ?? pages[0];
  for (const page of pages) page.hidden = page !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${shown.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  scrollTo(0, 0);
  shown.dispatchEvent(new Event("shown"));
  markModel(wanted);
}

function markModel(id) {
  for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
  const row = id.startsWith("model=") ? element(id) : null;
  if (row === null) return;
  row.hidden = false; // even if a filter leaves it out
  row.classList.add("chosen");
  const box = row.closest(".tall");
  box.scrollTop = row.offsetTop - box.clientHeight / 2;
}

/** Have each model that the text names lead to its row. */
function linkModels() {
  for (const code of document.querySelectorAll("#findings code")) {
    if (element(`model=${code.textContent}`) === null) continue;
    const link = document.createElement("a");
    link.href = `#model=${encodeURIComponent(code.textContent)}`;
    code.replaceWith(link);
    link.append(code);
  }
}

addEventListener("hashchange", showPage);
// After all else has prepared itself: the first page shown may be one with a plot.
addEventListener("load", () => {
  linkModels();
  showPage();
});
