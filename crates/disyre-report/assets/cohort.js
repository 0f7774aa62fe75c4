"use strict";
(() => {
  const table = document.getElementById("cases");
  if (!table) return;
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const said = document.getElementById("sorted");
  // Failed rows stay first; rows without a value come last.
  function sort(column, kind, descending) {
    const key = (row) => row.cells[column]?.dataset.key ?? "";
    const compare = (a, b) => (kind === "number" ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    const rows = [...body.rows].map((row) => ({ row, failed: row.classList.contains("failed"), key: key(row) }));
    rows.sort((a, b) => {
      if (a.failed !== b.failed) return a.failed ? -1 : 1;
      if ((a.key === "") !== (b.key === "")) return a.key === "" ? 1 : -1;
      const order = a.failed ? 0 : compare(a.key, b.key);
      return descending ? -order : order;
    });
    body.append(...rows.map(({ row }) => row));
  }
  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      // Numbers begin with the greatest, but p-values with the least.
      const first = header.dataset.sort === "text" || button.textContent === "p-value" ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = header.getAttribute("aria-sort") === first ? other : first;
      for (const one of headers) one.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", order);
      sort(column, header.dataset.sort, order === "descending");
      said.textContent = `Sorted by ${button.textContent}, ${order}; failures stay first.`;
    });
  });
})();
