// A table to sort, filter and walk through by keyboard; only the rows in view are in the page.
const ROW = 28; // pixels
const SPARE = 6; // rows above and below those in view
const MOST_OPTIONS = 40; // values of a column to choose from
const NONE = "\u2014"; // stands for a missing value among the choices
let tables = 0;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") Object.entries(value).forEach(([event, act]) => made.addEventListener(event, act));
    else if (name === "style") Object.assign(made.style, value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined));
  return made;
}

const missing = value => value === null || value === undefined || value === "";
const SHOWN = {
  number: value => value.toFixed(2),
  whole: value => String(value),
  small: value => (value >= 0.0005 ? value.toFixed(3) : value > 0 ? value.toExponential(0) : "0"),
};
const isNumber = column => column.kind in SHOWN;
const words = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);

// A word typed and what it may be the plural of: "masses" finds "mass", "biopsies" finds "biopsy".
function singulars(word) {
  const ends = [["ies", "y"], ["es", ""], ["s", ""]].filter(([end]) => word.length > end.length + 2 && word.endsWith(end));
  return [word, ...ends.map(([end, by]) => word.slice(0, -end.length) + by)];
}

function render({ model, el: root }) {
  const id = `mdissect-table-${++tables}`;
  const filters = el("div", { class: "mdissect-table-filters" });
  const body = el("div", { role: "rowgroup", class: "mdissect-table-body" });
  const head = el("div", { role: "row", class: "mdissect-table-head", "aria-rowindex": 1 });
  const grid = el("div", { role: "grid", tabindex: 0, class: "mdissect-table-scroll" }, el("div", { role: "rowgroup" }, head), body);
  root.classList.add("mdissect-table");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys do not act while the table has the focus
  root.append(filters, grid);

  let columns = [], values = {}, texts = [], shown = [], active = 0, mark = -1, sort = null, chosen = {}, query = "", box, count;
  const size = () => (columns.length ? (values[columns[0].key] || []).length : 0);
  const show = (column, i) => (missing(values[column.key][i]) ? "" : (SHOWN[column.kind] || String)(values[column.key][i]));

  function read() {
    values = { ...model.get("rows"), ...model.get("later") };
    columns = model.get("columns").filter(column => column.key in values);
    const searched = columns.filter(column => !isNumber(column) || column.kind === "whole");
    texts = Array.from({ length: size() }, (_, i) => ` ${words(searched.map(column => show(column, i)).join(" ")).join(" ")}`);
  }

  function build() {
    const at = columns.find(column => column.key === model.get("sort"));
    if (!sort && at) sort = [at.key, isNumber(at) && !at.rising];
    grid.setAttribute("aria-label", model.get("label"));
    grid.setAttribute("aria-colcount", columns.length);
    grid.style.setProperty("--columns", columns.map(column => column.width || (isNumber(column) ? "84px" : "minmax(110px, 1fr)")).join(" "));
    grid.style.setProperty("--least", `${columns.reduce((sum, column) => sum + (column.least || (isNumber(column) ? 84 : 110)), 0)}px`);
    grid.style.height = `${(model.get("height") + 1) * ROW + 2}px`;
    head.replaceChildren(...columns.map((column, j) => el("div", {
      role: "columnheader", "aria-colindex": j + 1, "data-key": column.key, class: isNumber(column) ? "mdissect-number" : "",
    }, el("button", { type: "button", title: column.title, tabindex: -1, on: { click: () => sortBy(column) } }, column.name))));
    box = el("input", { type: "search", id: `${id}-filter`, placeholder: "filter", "aria-label": `filter ${model.get("label")}`, on: { input: filterNow } });
    box.value = query;
    count = el("span", { role: "status", class: "mdissect-table-count" });
    filters.replaceChildren(box, ...columns.map(choices).filter(Boolean), count);
    filters.hidden = !model.get("filters");
  }

  function choices(column) {
    if (column.kind !== "choice") return null;
    const known = [...new Set(values[column.key].map(value => (missing(value) ? NONE : String(value))))].sort();
    if (known.length < 2 || known.length > MOST_OPTIONS) return null;
    const select = el("select", { "aria-label": column.name, title: column.title, on: { change: () => { chosen[column.key] = select.value; filterNow(); } } },
      el("option", { value: "" }, `${column.name}: all`),
      known.map(value => el("option", { value }, value === NONE ? column.none || `no ${column.name}` : value)));
    select.value = known.includes(chosen[column.key]) ? chosen[column.key] : "";
    return select;
  }

  function sortBy(column) {
    const first = isNumber(column) && !column.rising;
    sort = !sort || sort[0] !== column.key ? [column.key, first] : sort[1] === first ? [column.key, !first] : ["", false];
    arrange();
  }

  function filterNow() {
    query = box.value;
    arrange();
    grid.scrollTop = 0;
  }

  function arrange() {
    const wanted = words(query).map(singulars), by = Object.entries(chosen).filter(([key, value]) => value && key in values);
    const kept = shown[active];
    shown = [];
    for (let i = 0; i < size(); i++) {
      const fits = by.every(([key, value]) => (missing(values[key][i]) ? NONE : String(values[key][i])) === value);
      if (fits && wanted.every(forms => forms.some(word => texts[i].includes(` ${word}`)))) shown.push(i);
    }
    const column = sort && columns.find(one => one.key === sort[0]);
    if (column) {
      const [of, sign] = [values[column.key], sort[1] ? -1 : 1];
      const compare = isNumber(column) ? (a, b) => a - b : new Intl.Collator("en", { numeric: true }).compare;
      shown.sort((a, b) => missing(of[a]) - missing(of[b]) || (missing(of[a]) ? 0 : sign * compare(of[a], of[b])) || a - b);
    }
    for (const cell of head.children) {
      const on = column && cell.dataset.key === column.key;
      cell.setAttribute("aria-sort", on ? (sort[1] ? "descending" : "ascending") : "none");
    }
    active = Math.max(shown.indexOf(kept), 0);
    grid.setAttribute("aria-rowcount", shown.length + 1);
    count.textContent = `${shown.length.toLocaleString("en")} of ${(model.get("total") || size()).toLocaleString("en")} ${model.get("things")}`;
    draw();
  }

  function draw() {
    const first = Math.max(Math.floor(grid.scrollTop / ROW) - SPARE, 0);
    const last = Math.min(first + model.get("height") + 2 * SPARE, shown.length);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(row(at));
    if (shown.length && (active < first || active >= last)) rows.push(row(active)); // what the focus is on stays in the page
    body.style.height = `${shown.length * ROW}px`;
    body.replaceChildren(...rows);
    if (shown.length) grid.setAttribute("aria-activedescendant", `${id}-${shown[active]}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  function row(at) {
    const i = shown[at];
    const cells = columns.map((column, j) => {
      const text = show(column, i), colour = column.colour && values[column.colour][i];
      const bar = column.bar && !missing(values[column.key][i])
        ? el("i", { class: "mdissect-table-bar", "aria-hidden": "true", style: { width: `${Math.max(0, Math.min(1, values[column.key][i] / column.bar)) * 100}%`, background: values.colour ? values.colour[i] : "" } }) : null;
      return el("div", { role: "gridcell", "aria-colindex": j + 1, title: isNumber(column) ? null : text, class: isNumber(column) ? "mdissect-number" : "" },
        bar, colour ? el("i", { class: "mdissect-table-mark", "aria-hidden": "true", style: { background: colour } }) : null, el("span", {}, text));
    });
    return el("div", {
      role: "row", id: `${id}-${i}`, "aria-rowindex": at + 2, "aria-selected": String(i === mark), "data-at": at,
      class: `mdissect-table-row${at === active ? " mdissect-active" : ""}`, style: { top: `${at * ROW}px` },
    }, cells);
  }

  function reveal() {
    const top = active * ROW, height = grid.clientHeight - ROW; // below the head
    if (top < grid.scrollTop) grid.scrollTop = top;
    if (top + ROW > grid.scrollTop + height) grid.scrollTop = top + ROW - height;
    draw();
  }

  function act(what) {
    if (!shown.length) return;
    mark = shown[active]; // at once; which row is chosen is then for Python to say, in the order of its messages
    model.send({ [what]: mark });
    draw();
  }

  const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: model.get("height"), PageUp: -model.get("height"), Home: -Infinity, End: Infinity };
  grid.addEventListener("keydown", event => {
    if (event.target.tagName === "BUTTON" || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in STEPS) active = Math.max(0, Math.min(shown.length - 1, active + STEPS[event.key]));
    else if (event.key === "Enter") act("open");
    else if (event.key === " ") act("choose");
    else return;
    event.preventDefault();
    event.stopPropagation();
    reveal();
  });
  body.addEventListener("click", event => {
    const hit = event.target.closest(".mdissect-table-row");
    if (!hit) return;
    active = Number(hit.dataset.at);
    act("choose");
  });
  body.addEventListener("dblclick", () => act("open"));
  let waiting = false;
  grid.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });

  function renew() {
    read();
    build();
    arrange();
  }

  function follow() {
    mark = model.get("chosen");
    const at = shown.indexOf(mark);
    if (at >= 0) active = at;
    reveal();
  }

  model.on("change:rows change:columns change:label change:height", () => { active = 0; renew(); follow(); });
  model.on("change:later", () => { read(); const before = document.activeElement === box; build(); arrange(); if (before) box.focus(); });
  model.on("change:chosen", follow);
  renew();
  follow();
  const seen = new ResizeObserver(() => { if (grid.clientHeight) { seen.disconnect(); reveal(); } }); // in view for the first time
  seen.observe(grid);
  return () => seen.disconnect();
}

export default { render };
