// The table of neurons: filters, sorting, and only the rows in view.
const ROW = 34; // pixels
const SPARE = 8; // rows above and below those in view
const DEFAULTS = { q: "", model: "", layer: "", category: "", labels: "", needs: "", verdict: "", of: "", least: "", most: "", list: "", learned: "", sort: "", pane: "" };
const state = { ...DEFAULTS };
let shown = Array.from({ length: SIZE }, (_, i) => i);
let selected = 0; // position among the shown ones

const text = (name, get, meaning = name) => ({ name, get, number: false, meaning });
const number = (name, get, show, meaning = name) => ({ name, get, show, number: true, meaning });
const COLUMNS = {
  place: number(SEVERAL ? "result, neuron" : "neuron", g => g, g => `${SEVERAL ? `${modelOf(g).name} ` : ""}${layerOf(g).name} ${numberOf(g)}`),
  label: text("label", labelOf),
  verdict: text("verdict", g => verdictOf(g).verdict),
  similarity: number("similarity", g => N.similarity[g], g => fixed(N.similarity[g])),
};
if (N.calibrated && N.calibrated.some((c, g) => c >= 0 && c !== N.label[g])) {
  COLUMNS.calibrated = text("better than chance", g => (N.calibrated[g] >= 0 ? C.name[N.calibrated[g]] : ""), "calibrated");
}
if (N.q) COLUMNS.q = number("q", g => N.q[g], g => small(N.q[g]));
if (N.p_label) COLUMNS.p_label = number("p of the label", g => N.p_label[g], g => small(N.p_label[g]));
if (N.stability) COLUMNS.stability = number("stability", g => N.stability[g], g => fixed(N.stability[g]));
for (const name of ATTACHED) {
  const values = N.attached[name];
  const numeric = values.every(value => value === null || typeof value === "number");
  const share = numeric && values.every(value => Math.abs(value) <= 1);
  const shownAs = g => (numeric ? (share ? fixed : places)(values[g]) : values[g] === null ? "" : String(values[g]));
  COLUMNS[`own ${name}`] = numeric ? number(name.replaceAll("_", " "), g => values[g], shownAs, spelt(name)) : text(name.replaceAll("_", " "), shownAs);
}
if (C.needs.some(Boolean)) COLUMNS.needs = text("needs", needsOf);
if (C.broad.some(Boolean)) COLUMNS.category = text("category", g => (N.label[g] < 0 ? "" : C.broad[N.label[g]]));
if (N.flag && N.flag.some(Boolean)) COLUMNS.flag = text("flag", g => N.flag[g] || "");
if (N.note.some(Boolean)) COLUMNS.note = text("note", g => N.note[g]);

function select(key, label, options) {
  const box = el("select", { id: `by-${key}`, on: { change: () => { state[key] = box.value; changed(); } } },
    options.map(([value, name]) => el("option", { value }, name)));
  return el("span", {}, el("label", { for: `by-${key}` }, label), " ", box);
}

const NUMBERS = Object.entries(COLUMNS).filter(([key, column]) => column.number && key !== "place");

// One end of the range of the number that "number" names.
function edge(key, label) {
  const box = el("input", { id: `by-${key}`, type: "number", step: "any", class: "edge",
    on: { input: () => { state[key] = box.value; state.of = state.of || NUMBERS[0][0]; changed(); } } });
  return el("span", {}, el("label", { for: `by-${key}` }, label), " ", box);
}

function inRange(g) {
  const column = COLUMNS[state.of];
  if (!column || !column.number || blind || (state.least === "" && state.most === "")) return true;
  const value = column.get(g);
  if (value === null || value === undefined) return false;
  return (state.least === "" || value >= Number(state.least)) && (state.most === "" || value <= Number(state.most));
}

function buildFilters() {
  const layers = [...new Set(LAYERS.map(layer => layer.name))];
  const passing = MODELS.every(model => model.calibrated) ? "labels better than chance" : "labels above the threshold";
  const labels = [["", "all"], ["passes", passing], ["below", "other labels"], ["none", "no label"]];
  if (N.q) labels.splice(2, 0, ["q", `q at most ${SURE}`]);
  const boxes = [
    SEVERAL && select("model", "result", [["", "all"], ...MODELS.map(model => [model.name, model.name])]),
    layers.length > 1 && select("layer", "layer", [["", "all"], ...layers.map(name => [name, name])]),
    Object.keys(DATA.groups).length && select("category", "category", [["", "all"], ...Object.keys(DATA.groups).map(one => [one, one])]),
    select("labels", "labels", labels),
    C.needs.some(Boolean) && select("needs", "needs", [["", "all"], ["one", "one mammogram alone"], ["more", "more than that"]]),
    select("verdict", "verdict", [["", "all"], ["none", "none yet"], ["any", "any"], ...DATA.verdicts.map(one => [one, one])]),
    select("of", "number", [["", "any"], ...NUMBERS.map(([key, column]) => [key, column.name])]),
    edge("least", "from"), edge("most", "to"),
    el("button", { type: "button", on: { click: () => { Object.assign(state, DEFAULTS, { pane: state.pane }); changed(); } } }, "clear"),
  ];
  byId("filters").replaceChildren(...boxes.filter(Boolean));
  byId("filters").addEventListener("submit", event => event.preventDefault());
}

function passesFilters(g) {
  if (state.model && modelOf(g).name !== state.model) return false;
  if (state.layer && layerOf(g).name !== state.layer) return false;
  const c = N.label[g];
  if (state.category && (c < 0 || !C.broad[c].split("; ").includes(state.category))) return false;
  if (state.labels === "passes" && !N.passes[g]) return false;
  if (state.labels === "below" && (N.passes[g] || c < 0)) return false;
  if (state.labels === "none" && c >= 0) return false;
  if (state.labels === "q" && !(N.q[g] !== null && N.q[g] <= SURE)) return false;
  if (state.needs && (c < 0 || (C.needs[c] === "") !== (state.needs === "one"))) return false;
  if (!inRange(g) || (state.list && !LISTED.has(g))) return false;
  if (state.verdict) {
    const given = verdictOf(g).verdict;
    if (state.verdict === "none" ? given : state.verdict === "any" ? !given : given !== state.verdict) return false;
  }
  return true;
}

function filterNeurons() {
  const { keep, meant, better } = searched(state.q);
  shown = [];
  for (let g = 0; g < SIZE; g++) if (keep(g) && passesFilters(g)) shown.push(g);
  if (blind) shown = inOrder(shown.filter(g => (among ? among.includes(g) : IN_STUDY.has(g))));
  const [key, direction] = state.sort.split(",");
  const column = COLUMNS[key];
  if (column && !blind) {
    const sign = direction === "down" ? -1 : 1;
    const values = new Map(shown.map(g => [g, column.get(g)]));
    const missing = value => value === null || value === undefined || value === "";
    shown.sort((a, b) => {
      const [x, y] = [values.get(a), values.get(b)];
      if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;
      return sign * (column.number ? x - y : x < y ? -1 : x > y ? 1 : 0) || a - b;
    });
  }
  selected = Math.min(selected, Math.max(shown.length - 1, 0));
  byId("count").textContent = blind ? `Blind reading${reader && ` of ${reader}`}: ${progress()}.` : `${shown.length.toLocaleString("en")} of ${SIZE.toLocaleString("en")} neurons`;
  const below = !blind && shown.some(g => N.label[g] >= 0 && !N.passes[g]);
  byId("italics").textContent = below ? "Labels in italics are weak matches, below the layer’s threshold." : "";
  const offered = meant.map(words => el("button", { type: "button", on: { click: () => { state.q = words; changed(); } } }, words));
  const near = shown.length || offered.length || blind || !state.q.trim() || any(keep) ? [] : conceptsOffered(state.q);
  byId("hint").replaceChildren(...(better ? ["by the label that is better than chance; none shows it as its own."] : offered.length ? ["Did you mean ", ...offered, "?"] : near.length
    ? ["No neuron has such a label; the nearest neurons of ", ...near.flatMap((c, k) => [k ? ", " : "", conceptNode(c)])]
      : !shown.length && (state.q.trim() || state.list) ? ["No neuron fits all that is asked for: clear the filters."] : []));
}

// Those in view: in a blind reading none that tells more than the labels that were judged.
const shownColumns = () => Object.entries(COLUMNS).filter(([key]) => !blind || ["place", "label", "verdict"].includes(key));

function buildTable() {
  const heads = shownColumns().map(([key, column]) => el("th", { scope: "col", "data-key": key },
    el("button", { type: "button", title: DATA.terms[column.meaning], on: { click: () => sortBy(key) } }, column.name)));
  byId("table").replaceChildren(el("thead", {}, el("tr", {}, heads)), el("tbody"));
  byId("table").tHead.addEventListener("click", event => {
    const head = event.target.closest("th");
    if (head && !event.target.closest("button")) sortBy(head.dataset.key);
  });
  byId("table").tBodies[0].addEventListener("click", event => {
    const row = event.target.closest("tr.row");
    if (row && !event.target.closest("a")) location.hash = linkOf(Number(row.dataset.neuron));
  });
}

function followScrolling() {
  let waiting = false;
  byId("scroll").addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawRows(); });
  });
}

function sortBy(key) {
  const [now, direction] = state.sort.split(",");
  const first = COLUMNS[key].number && !["q", "p_label", "place"].includes(key) ? "down" : "up";
  const other = first === "up" ? "down" : "up";
  state.sort = now !== key ? `${key},${first}` : direction === first ? `${key},${other}` : "";
  changed();
}

function drawHeads() {
  const [key, direction] = state.sort.split(",");
  for (const head of byId("table").tHead.rows[0].cells) {
    const on = head.dataset.key === key;
    head.setAttribute("aria-sort", on ? (direction === "up" ? "ascending" : "descending") : "none");
    head.firstChild.textContent = COLUMNS[head.dataset.key].name + (on ? (direction === "up" ? " ▲" : " ▼") : "");
  }
}

function drawRows() {
  const scroll = byId("scroll");
  const first = Math.max(Math.floor(scroll.scrollTop / ROW) - SPARE, 0);
  const last = Math.min(first + Math.ceil((scroll.clientHeight || 500) / ROW) + 2 * SPARE, shown.length);
  const rows = [];
  for (let i = first; i < last; i++) rows.push(row(i));
  const space = n => el("tr", { class: "space", "aria-hidden": "true" },
    el("td", { colspan: shownColumns().length, style: { height: `${n * ROW}px` } }));
  byId("table").tBodies[0].replaceChildren(...[first ? space(first) : null, ...rows, last < shown.length ? space(shown.length - last) : null].filter(Boolean));
  byId("table").setAttribute("aria-rowcount", shown.length + 1);
}

function row(i) {
  const g = shown[i];
  const cells = shownColumns().map(([key, column]) => {
    if (key === "place") return el("td", {}, el("a", { href: linkOf(g) }, column.show(g)));
    if (key === "label") return el("td", { title: labelOf(g), class: N.passes[g] || covered(g) ? "" : "below" }, N.label[g] < 0 ? shownLabel(g) : [swatch(N.label[g]), labelOf(g)]);
    const value = column.show ? column.show(g) : column.get(g);
    return el("td", { class: column.number ? "number" : "", title: column.number ? null : value }, value);
  });
  return el("tr", { class: i === selected ? "row here" : "row", "data-neuron": g, "aria-rowindex": i + 2 }, cells);
}

function moveTo(position) {
  selected = Math.max(0, Math.min(position, shown.length - 1));
  const scroll = byId("scroll");
  const top = selected * ROW;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  if (top + 3 * ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + 3 * ROW - scroll.clientHeight;
  drawRows();
  if (shown.length) byId("spoken").textContent = `${nameOf(shown[selected])}: ${shownLabel(shown[selected])}`;
}
