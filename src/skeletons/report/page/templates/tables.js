// Tables that a click on a column heading sorts, and the filters of the grid.

/** The value of a cell for sorting: a number if possible, null if it is empty, else its text. */
function cellValue(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "") return null;
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function compareValues(x, y, sign) {
  if (x === null || y === null) return (x === null) - (y === null); // always last
  if (typeof x === "number" && typeof y === "number") return sign * (x - y);
  return sign * String(x).localeCompare(String(y), "en", { numeric: true });
}

function sortBy(heading) {
  const body = heading.closest("table").tBodies[0];
  const falling = heading.ariaSort === "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const column = heading.cellIndex;
  const rows = [...body.rows].map((row) => [cellValue(row.cells[column]), row]);
  rows.sort(([x], [y]) => compareValues(x, y, falling ? -1 : 1));
  body.append(...rows.map(([, row]) => row));
}

/** Show the rows that contain every searched word and match every choice. */
function filterTable(form) {
  const rows = [...element(form.dataset.filters).tBodies[0].rows];
  const { text, state, base, accuracy, sparsity } = form.elements;
  const words = text.value.toLowerCase().split(/\s+/);
  let count = 0;
  for (const row of rows) {
    const content = row.textContent.toLowerCase();
    row.hidden = !(
      words.every((word) => content.includes(word)) &&
      ["", row.dataset.state].includes(state.value) &&
      ["", row.dataset.base].includes(base.value) &&
      Number(row.dataset.accuracy) >= Number(accuracy.value) &&
      Number(row.dataset.sparsity) >= Number(sparsity.value)
    );
    count += !row.hidden;
  }
  form.querySelector("output").value = `${count} of ${rows.length} models`;
}

addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => sortBy(button.parentElement));
  }
  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  const form = document.querySelector("form[data-filters]");
  form.addEventListener("input", () => filterTable(form));
});
