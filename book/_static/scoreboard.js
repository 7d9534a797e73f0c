/* The scoreboard, which is complete without this, gets filters and columns that sort. */
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.board");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  rows.forEach((row, place) => (row.dataset.place = place));
  const form = document.createElement("form");
  form.className = "board-filter";
  const said = document.createElement("output");
  const chosen = {};

  function choice(name, label, text) {
    const select = document.createElement("select");
    select.add(new Option(`all`, ""));
    for (const value of new Set(rows.map((row) => row.dataset[name]))) {
      const count = rows.filter((row) => row.dataset[name] === value).length;
      select.add(new Option(`${text(value)} (${count})`, value));
    }
    chosen[name] = select;
    select.addEventListener("change", filter);
    const line = document.createElement("label");
    line.append(`${label} `, select);
    form.append(line);
  }

  function filter() {
    const wanted = Object.entries(chosen).filter(([, select]) => select.value);
    let count = 0;
    for (const row of rows) {
      row.hidden = wanted.some(([name, select]) => row.dataset[name] !== select.value);
      count += !row.hidden;
    }
    said.value = `${count} of ${rows.length} claims`;
  }

  function key(row, column) {
    return column ? row.cells[column].innerText.trim() : Number(row.dataset.place);
  }

  function sort(head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const compare = (a, b) => (column ? a.localeCompare(b) : a - b);
    const keyed = rows.map((row) => [key(row, column), row]);
    keyed.sort(([a, first], [b, second]) => compare(a, b) || first.dataset.place - second.dataset.place);
    if (down) keyed.reverse();
    body.append(...keyed.map(([, row]) => row));
  }

  const names = {};
  for (const row of rows) names[row.dataset.question] = row.cells[2].innerText.trim();
  choice("verdict", "verdict", (value) => value);
  choice("question", "question", (value) => names[value]);
  form.append(said);
  table.before(form);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head, column));
    head.append(button);
  });
  filter();
});
