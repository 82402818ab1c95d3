// A reader's verdicts, kept in this browser until they are saved as a CSV that Notes.merge reads; blind reading.
const STORED = `mdissect-atlas-${DATA.key}`;
const VERDICTS = new Map(); // "neuron reader" -> {g, reader, label, verdict, words, text}
const TRUE_LABEL = [...N.label]; // while the reading is blind, N.label has only what the reader may see
const STUDY = DATA.study.neurons || Array.from({ length: SIZE }, (_, g) => g);
const IN_STUDY = new Set(STUDY);
const HIDDEN = "label hidden until you save your own words";
let reader = "";
let blind = DATA.study.blind;
let kept = true; // whether the browser keeps them
let unsaved = 0;

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) || "{}");
    reader = typeof stored.reader === "string" ? stored.reader : "";
    blind = DATA.study.blind || stored.blind === true;
    for (const row of Array.isArray(stored.rows) ? stored.rows : []) {
      if (Number.isInteger(row.g) && row.g >= 0 && row.g < SIZE && DATA.verdicts.concat("").includes(row.verdict)) {
        VERDICTS.set(`${row.g} ${row.reader}`, { words: "", text: "", ...row });
      }
    }
  } catch {
    kept = false;
  }
}

function store() {
  try {
    localStorage.setItem(STORED, JSON.stringify({ reader, blind, rows: [...VERDICTS.values()] }));
  } catch {
    kept = false;
  }
}

const verdictOf = g => (reader && VERDICTS.get(`${g} ${reader}`)) || { verdict: "", words: "", text: "" };

// Whether a neuron's label is hidden now, and what is written in its place.
const covered = g => blind && !verdictOf(g).words && !verdictOf(g).verdict;
const coveredNow = () => current >= 0 && covered(current);
const shownLabel = g => (covered(g) ? "label hidden" : labelOf(g) || "no label");

function coverLabels() {
  for (let g = 0; g < SIZE; g++) N.label[g] = covered(g) ? -1 : TRUE_LABEL[g];
  document.body.classList.toggle("blind", blind);
  byId("blind").setAttribute("aria-pressed", String(blind));
  byId("blind").hidden = DATA.study.blind;
}

// Another reader, or blind reading begins or ends: everything is drawn anew.
function readAs(change) {
  change();
  store();
  coverLabels();
  Object.assign(state, DEFAULTS);
  buildTable();
  show();
}

function record(g, change) {
  const name = TRUE_LABEL[g] < 0 ? "" : C.name[TRUE_LABEL[g]];
  const row = { ...verdictOf(g), g, reader, label: name, ...change };
  if (row.verdict || row.words || row.text) VERDICTS.set(`${g} ${reader}`, row);
  else VERDICTS.delete(`${g} ${reader}`);
  unsaved += 1;
  store();
  byId("save").textContent = `save verdicts (${VERDICTS.size})`;
}

// 32 bits of a text (FNV-1a, mixed as in MurmurHash3): as mdissect.explorers.reading_list.shuffling_key.
function shufflingKey(words) {
  let key = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(words)) key = Math.imul(key ^ byte, 0x01000193);
  key = Math.imul(key ^ (key >>> 16), 0x85ebca6b);
  key = Math.imul(key ^ (key >>> 13), 0xc2b2ae35);
  return (key ^ (key >>> 16)) >>> 0;
}

// Neurons in the reader's own order.
function inOrder(neurons) {
  const keyed = neurons.map(g => [shufflingKey([DATA.study.seed, reader, modelOf(g).name, layerOf(g).name, numberOf(g)].join("|")), g]);
  return keyed.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(pair => pair[1]);
}

const judged = () => STUDY.filter(g => verdictOf(g).verdict).length;
const progress = () => `${judged().toLocaleString("en")} of ${STUDY.length.toLocaleString("en")} judged`;

function goToUnjudged() {
  const order = inOrder(STUDY);
  const start = order.indexOf(current) + 1;
  const next = [...order.slice(start), ...order.slice(0, start)].find(g => g !== current && !verdictOf(g).verdict);
  if (next === undefined) return told(`${progress()}: none is left${current >= 0 && !verdictOf(current).verdict ? " but this one" : ""}`);
  location.hash = linkOf(next);
}

function focusVerdict() {
  const words = byId("words");
  (!reader ? byId("reader") : words || document.querySelector(".verdict .choices button")).focus();
}

// As mdissect's own tables: what a spreadsheet would take for a formula begins with an apostrophe.
function cell(value) {
  let text = String(value).replace(/\r\n?/g, "\n").replace(/\0/g, "");
  if (/^'*\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) text = `'${text}`;
  return `"${text.replace(/"/g, '""')}"`;
}

function verdictsTable() {
  const rows = [...VERDICTS.values()].sort((a, b) => a.g - b.g || (a.reader < b.reader ? -1 : 1));
  const lines = rows.map(r => [modelOf(r.g).name, modelOf(r.g).digest, layerOf(r.g).name, numberOf(r.g), r.reader, r.label,
    modelOf(r.g).rule, r.verdict, r.words, r.text]);
  return [["result", "digest", "layer", "neuron", "reader", "label", "rule", "verdict", "words", "text"], ...lines]
    .map(line => line.map(cell).join(",")).join("\n") + "\n";
}

function saveVerdicts() {
  if (!VERDICTS.size) return told("There are no verdicts yet: open a neuron and press v.");
  const address = URL.createObjectURL(new Blob([verdictsTable()], { type: "text/csv" }));
  const link = el("a", { href: address, download: `verdicts_${reader.replace(/[^\w-]/g, "") || "reader"}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  unsaved = 0;
  told(`${VERDICTS.size} verdicts saved as ${link.download}`);
}

function verdictPanel(g) {
  const note = el("p", { class: "soft", role: "status" });
  const done = el("span", { class: "soft", id: "progress" });
  const initials = el("input", { id: "reader", size: 6, maxlength: 30, autocomplete: "off", value: reader,
    on: { input: () => (blind ? null : takeReader()), change: () => takeReader() } });
  const following = el("button", { type: "button", id: "following", on: { click: goToUnjudged } }, "next unjudged");
  const own = covered(g) ? wordsAsked(g, note) : verdictAsked(g, note, showProgress);

  // While the reading is blind, what may be seen depends on the reader, whose initials count when they are complete.
  function takeReader() {
    const before = covered(g);
    reader = initials.value.trim();
    store();
    coverLabels();
    if (covered(g) !== before) return show();
    filterNeurons();
    own.show();
    showProgress();
  }

  function showProgress() {
    done.textContent = progress();
    const where = kept ? "Kept in this browser until you save them." : "This browser keeps nothing: save them before you close the page.";
    note.textContent = (reader ? where : "Enter your initials to give a verdict.") + (IN_STUDY.has(g) ? "" : " This neuron is not among those of the study.");
  }

  showProgress();
  return el("fieldset", { class: "verdict" }, el("legend", {}, covered(g) ? "What do the images have in common?" : labelOf(g) ? `Is “${labelOf(g)}” right for these images?` : "This neuron has no label."),
    el("div", { class: "controls" }, el("label", { for: "reader" }, "your initials"), initials, following, done), own.parts, note);
}

// Before the label is shown: the reader's own words.
function wordsAsked(g, note) {
  const words = el("textarea", { id: "words", rows: 2 });
  const reveal = el("button", { type: "button", id: "reveal", on: { click: () => save() } }, "save words, show label");
  function save() {
    if (!reader) {
      byId("reader").focus();
      note.textContent = "Enter your initials to save your words.";
    } else if (!words.value.trim()) {
      words.focus();
      note.textContent = "Write what the images have in common; then the label is shown.";
    } else {
      record(g, { words: words.value.trim() });
      coverLabels();
      show();
      document.querySelector(".verdict .choices button").focus({ preventScroll: true });
    }
  }
  return { show: () => {}, parts: [el("label", { for: "words" }, "your own words"), words, el("div", { class: "controls" }, reveal)] };
}

// The verdict on the label, and why.
function verdictAsked(g, note, changed) {
  const buttons = DATA.verdicts.map(name => el("button", { type: "button", on: { click: () => choose(name) } }, name));
  const text = el("textarea", { id: "why", rows: 2, on: { input: () => record(g, { text: text.value }) } });
  const before = el("p", {});

  function choose(name) {
    if (!reader) {
      byId("reader").focus();
      note.textContent = "Enter your initials to give a verdict.";
      return;
    }
    record(g, { verdict: verdictOf(g).verdict === name ? "" : name });
    showNow();
    changed();
  }

  function showNow() {
    const now = verdictOf(g);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(now.verdict === DATA.verdicts[i])));
    if (document.activeElement !== text) text.value = now.text;
    text.disabled = !reader;
    before.textContent = now.words ? `Your own words: ${now.words}` : "";
    before.hidden = !now.words;
  }

  showNow();
  return { show: showNow, parts: [before, el("div", { class: "controls choices" }, buttons), el("label", { for: "why" }, "why"), text] };
}
