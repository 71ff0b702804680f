"use strict";
// The pages of the report, one shown at a time: the page that the fragment of the address names.
// `#model=ID` is the row of a model in the grid.
const DATA = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);

/** Run `action` each time a page is shown, because a plot can only be drawn in a visible page. */
function whenShown(id, action) {
  element(id).addEventListener("shown", action);
}

function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // the fragment is not percent-encoded correctly
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
  row.hidden = false; // even if a filter hides it
  row.classList.add("chosen");
  const box = row.closest(".tall");
  box.scrollTop = row.offsetTop - box.clientHeight / 2;
}

/** Turn each model id in the text into a link to its row. */
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
// After everything else is ready, because the first page may contain a plot.
addEventListener("load", () => {
  linkModels();
  showPage();
});
