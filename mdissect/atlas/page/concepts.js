// All concepts that fit the search and the category: how many neurons of each result are labelled with them.
const MOST_CONCEPTS = 60;
const LEARNED = { "": "all", every: "learned by every result", some: "learned by some, missed by some", none: "missed by every result" };
let listedConcepts = MOST_CONCEPTS;
let counted = null;
let better = null;

// For each concept and result the neurons of which it is the label that is better than chance, where another one is shown.
function betterCounts() {
  if (better) return better;
  better = C.name.map(() => MODELS.map(() => 0));
  const other = g => N.calibrated && N.calibrated[g] !== null && N.calibrated[g] >= 0 && N.calibrated[g] !== TRUE_LABEL[g];
  for (let g = 0; g < SIZE; g++) if (other(g)) better[N.calibrated[g]][layerOf(g).m] += 1;
  return better;
}

// For each concept and result the neurons whose label counts.
function counts() {
  if (counted) return counted;
  counted = C.name.map(() => MODELS.map(() => 0));
  for (let g = 0; g < SIZE; g++) if (TRUE_LABEL[g] >= 0 && N.passes[g]) counted[TRUE_LABEL[g]][layerOf(g).m] += 1;
  return counted;
}

function fitsLearned(row) {
  const some = row.filter(Boolean).length;
  if (state.learned === "every") return some === row.length;
  if (state.learned === "none") return some === 0;
  if (state.learned.startsWith("no:")) return row[MODELS.findIndex(model => `no:${model.name}` === state.learned)] === 0;
  return state.learned !== "some" || (some > 0 && some < row.length);
}

function drawConcepts() {
  if (state.pane !== "concepts") return;
  const keep = conceptsFound(state.q);
  const total = row => row.reduce((sum, n) => sum + n, 0);
  const fitting = C.name.map((_, c) => c).filter(c => keep(c) && (!state.category || C.broad[c].split("; ").includes(state.category)) && fitsLearned(counts()[c]));
  fitting.sort((a, b) => total(counts()[b]) - total(counts()[a]) || (C.name[a] < C.name[b] ? -1 : 1));
  const box = el("select", { id: "by-learned", on: { change: () => { state.learned = box.value; listedConcepts = MOST_CONCEPTS; changed(); } } },
    [...Object.entries(LEARNED).filter(([key]) => SEVERAL || key !== "some"), ...(SEVERAL ? MODELS.map(({ name }) => [`no:${name}`, `missed by ${name}`]) : [])]
      .map(([value, name]) => el("option", { value }, name)));
  box.value = state.learned;
  const more = fitting.length - listedConcepts;
  const heads = ["concept", ...(SEVERAL ? MODELS.map(model => model.name) : ["neurons"])];
  byId("concepts").replaceChildren(
    el("p", {}, el("label", { for: "by-learned" }, "concepts"), " ", box, ` ${fitting.length.toLocaleString("en")} of ${C.name.length.toLocaleString("en")}`),
    el("table", {}, el("caption", { class: "soft" }, "Neurons whose label counts: learned; 0: missed.",
        N.calibrated ? " In brackets: further neurons of which it is the label better than chance." : ""),
      el("thead", {}, el("tr", {}, heads.map(name => el("th", { scope: "col" }, name)))),
      el("tbody", {}, fitting.slice(0, listedConcepts).map(c => el("tr", {}, el("td", {}, conceptNode(c)), counts()[c].map((n, m) => el("td", { class: "number" }, n, betterCounts()[c][m] ? ` (${betterCounts()[c][m]})` : "")))))),
    more > 0 ? el("p", {}, el("button", { type: "button", on: { click: () => { listedConcepts += MOST_CONCEPTS; drawConcepts(); } } },
      `show ${Math.min(more, MOST_CONCEPTS)} more of ${more.toLocaleString("en")}`)) : "",
    fitting.length ? "" : el("p", {}, "No concept fits the search and the filters."));
}
