// A reader's verdicts, kept in this browser until they are saved as a CSV that Notes.merge reads; blind reading.
const STORED = `mdissect-atlas-${DATA.key}`;
const VERDICTS = new Map(); // "neuron reader" -> {g, reader, label, verdict, words, text}
const TRUE_LABEL = [...N.label]; // while the reading is blind, N.label has only what the reader may see
const STUDY = DATA.study.neurons || Array.from({ length: SIZE }, (_, g) => g);
const IN_STUDY = new Set(STUDY);
const HIDDEN = "label hidden until you save your own words";
let reader = "";
let blind = DATA.study.blind;
let among = null; // the neurons of a blind reading that began from a search; null: all of the study
let beforeBlind = {}; // filters and search, for when the reading is over
let kept = true; // whether the browser keeps them
let unsaved = 0;

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) || "{}");
    reader = typeof stored.reader === "string" ? stored.reader : "";
    blind = DATA.study.blind || stored.blind === true;
    among = blind && Array.isArray(stored.among) ? stored.among.filter(g => IN_STUDY.has(g)) : null;
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
    localStorage.setItem(STORED, JSON.stringify({ reader, blind, among, rows: [...VERDICTS.values()] }));
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
  location.replace(current < 0 ? listLink() : linkOf(current));
  show();
}

// Begin or end a blind reading; where some neurons were searched for, of those alone.
function toggleBlind() {
  if (!blind) beforeBlind = { ...state };
  const some = !blind && shown.length && shown.length < SIZE ? shown.filter(g => IN_STUDY.has(g)) : null;
  readAs(() => { [blind, among] = [!blind, some]; });
  if (!blind) {
    Object.assign(state, beforeBlind);
    changed();
  }
  told(blind ? `Blind reading of ${toJudge().length.toLocaleString("en")} neurons: labels are hidden until you save your own words.` : "The labels are shown again.");
}

function record(g, change) {
  const name = TRUE_LABEL[g] < 0 ? "" : C.name[TRUE_LABEL[g]];
  const row = { ...verdictOf(g), g, reader, label: name, ...change };
  if (row.verdict || row.words || row.text) VERDICTS.set(`${g} ${reader}`, row);
  else VERDICTS.delete(`${g} ${reader}`);
  unsaved += 1;
  store();
  saySaved();
}

function saySaved() {
  const n = given().filter(row => row.verdict).length;
  byId("save").textContent = n ? `save verdicts (${n})` : "save verdicts";
}

function saidOf(rows) {
  const [n, more] = [rows.filter(row => row.verdict).length, rows.filter(row => !row.verdict).length];
  return `${n} verdict${n === 1 ? "" : "s"}${more ? ` and ${more} with words alone` : ""}`;
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

// The neurons to judge: those of the study; of these those that the blind reading is of, or that the table shows.
function toJudge() {
  if (blind) return among || STUDY;
  return shown.length && shown.length < SIZE ? shown.filter(g => IN_STUDY.has(g)) : STUDY;
}

function progress() {
  const [asked, of] = [toJudge(), n => n.toLocaleString("en")];
  return `${of(asked.filter(g => verdictOf(g).verdict).length)} of ${of(asked.length)} judged${asked.length < STUDY.length ? (blind ? "" : " of those in the table") : ""}`;
}

function goToUnjudged() {
  const order = blind || toJudge() === STUDY ? inOrder(toJudge()) : toJudge();
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

// A cell as it was before `cell`.
const uncell = text => text.replace(/^'(?='*\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])/, "");

function verdictsTable() {
  const rows = given().sort((a, b) => a.g - b.g || (a.reader < b.reader ? -1 : 1));
  const lines = rows.map(r => [modelOf(r.g).name, modelOf(r.g).digest, layerOf(r.g).name, numberOf(r.g), r.reader, r.label,
    modelOf(r.g).rule, r.verdict, r.words, r.text]);
  return [["result", "digest", "layer", "neuron", "reader", "label", "rule", "verdict", "words", "text"], ...lines]
    .map(line => line.map(cell).join(",")).join("\n") + "\n";
}

// The rows of the file: the reader's own; without initials, all.
const given = () => [...VERDICTS.values()].filter(row => !reader || row.reader === reader);

function saveVerdicts() {
  if (!given().length) return told("There are no verdicts yet: open a neuron and press v.");
  const address = URL.createObjectURL(new Blob([verdictsTable()], { type: "text/csv" }));
  const link = el("a", { href: address, download: `verdicts_${reader.replace(/[^\w-]/g, "") || "reader"}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  unsaved = 0;
  told(`${saidOf(given())} saved as ${link.download}`);
}

// The rows of a CSV.
function csvRows(text) {
  const rows = [[]];
  let [field, quoted] = ["", false];
  const put = () => { rows[rows.length - 1].push(field); field = ""; };
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (quoted) {
      if (letter !== '"') field += letter;
      else if (text[i + 1] === '"') { field += letter; i++; } else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") put();
    else if (letter === "\n") { put(); rows.push([]); } else if (letter !== "\r") field += letter;
  }
  if (field || rows[rows.length - 1].length) put();
  return rows.filter(row => row.length > 1 || row[0]);
}

// Take over the verdicts of a file that `saveVerdicts` or Python's Notes wrote; those given here stay as they are.
function takeVerdicts(text) {
  const [heads = [], ...rows] = csvRows(text.replace(/^\ufeff/, ""));
  if (!["layer", "neuron", "reader", "verdict"].every(name => heads.includes(name))) return "This is not a file of verdicts.";
  let [taken, known, others] = [0, 0, 0];
  for (const cells of rows) {
    const row = Object.fromEntries(heads.map((name, k) => [name, uncell(cells[k] || "")]));
    const model = MODELS.find(one => (one.name === row.result || (!row.result && !SEVERAL)) && (!row.digest || one.digest === row.digest));
    const g = model ? neuronAt([model.name, row.layer, row.neuron]) : -1;
    if (g < 0 || !row.reader || !["", ...DATA.verdicts].includes(row.verdict)) others += 1;
    else if (VERDICTS.has(`${g} ${row.reader}`)) known += 1;
    else {
      VERDICTS.set(`${g} ${row.reader}`, { g, reader: row.reader, label: row.label, verdict: row.verdict, words: row.words || "", text: row.text || "" });
      taken += 1;
    }
  }
  const readers = new Set([...VERDICTS.values()].map(row => row.reader));
  if (!reader && readers.size === 1) [reader] = readers;
  const parts = [`${taken} verdicts loaded`, known && `${known} were known`, others && `${others} are not of these neurons`];
  return `${parts.filter(Boolean).join(", ")}.`;
}

async function loadVerdicts() {
  const [file] = byId("loaded").files;
  if (!file) return;
  const said = takeVerdicts(await file.text());
  byId("loaded").value = "";
  store();
  saySaved();
  coverLabels();
  show();
  told(said);
}

// What other readers say of a neuron, once one has judged it oneself.
function othersOn(g) {
  if (!verdictOf(g).verdict) return "";
  const rows = [...VERDICTS.values()].filter(row => row.g === g && row.reader !== reader && row.verdict);
  return rows.length ? `Others: ${rows.map(row => `${row.reader} ${row.verdict}${row.text ? ` (${row.text})` : ""}`).join("; ")}` : "";
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
    saySaved();
    coverLabels();
    if (covered(g) !== before) return show();
    filterNeurons();
    own.show();
    showProgress();
  }

  function showProgress() {
    done.textContent = progress();
    const rowed = VERDICTS.has(`${g} ${reader}`);
    const where = !rowed ? "" : kept ? "Kept in this browser; “save verdicts” writes a file to hand over." : "This browser keeps nothing: save them before you close the page.";
    note.classList.remove("asked");
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
      note.classList.add("asked");
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
  const buttons = DATA.verdicts.map((name, k) => el("button", { type: "button", title: `${DATA.meant[name]} (key ${k + 1})`, on: { click: () => choose(name) } }, name));
  const text = el("textarea", { id: "why", rows: 1, on: { input: () => record(g, { text: text.value }) } });
  const [before, others] = [el("p", {}), el("p", {})];

  function choose(name) {
    if (!reader) {
      byId("reader").focus();
      note.classList.add("asked");
      note.textContent = `Enter your initials first, then choose “${name}” again.`;
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
    others.textContent = othersOn(g);
    others.hidden = !others.textContent;
  }

  showNow();
  return { show: showNow, parts: [before, el("div", { class: "controls choices" }, buttons), others, el("label", { for: "why" }, "why"), text] };
}
