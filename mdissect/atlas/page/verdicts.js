// A reader's verdicts, kept in this browser until they are saved as a CSV that Notes.merge reads.
const STORED = `mdissect-atlas-${DATA.key}`;
const VERDICTS = new Map(); // "neuron reader" -> {g, reader, label, verdict, text}
let reader = "";
let kept = true; // whether the browser keeps them
let unsaved = 0;

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORED) || "{}");
    reader = typeof stored.reader === "string" ? stored.reader : "";
    for (const row of Array.isArray(stored.rows) ? stored.rows : []) {
      if (Number.isInteger(row.g) && row.g >= 0 && row.g < SIZE && DATA.verdicts.concat("").includes(row.verdict)) {
        VERDICTS.set(`${row.g} ${row.reader}`, row);
      }
    }
  } catch {
    kept = false;
  }
}

function store() {
  try {
    localStorage.setItem(STORED, JSON.stringify({ reader, rows: [...VERDICTS.values()] }));
  } catch {
    kept = false;
  }
}

const verdictOf = g => (reader && VERDICTS.get(`${g} ${reader}`)) || { verdict: "", text: "" };

function record(g, change) {
  const row = { ...verdictOf(g), g, reader, label: labelOf(g), ...change };
  if (row.verdict || row.text) VERDICTS.set(`${g} ${reader}`, row);
  else VERDICTS.delete(`${g} ${reader}`);
  unsaved += 1;
  store();
  byId("save").textContent = `save verdicts (${VERDICTS.size})`;
}

// As mdissect's own tables: what a spreadsheet would take for a formula begins with an apostrophe.
function cell(value) {
  let text = String(value).replace(/\r\n?/g, "\n").replace(/\0/g, "");
  if (/^'*\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) text = `'${text}`;
  return `"${text.replace(/"/g, '""')}"`;
}

function verdictsTable() {
  const rows = [...VERDICTS.values()].sort((a, b) => a.g - b.g || (a.reader < b.reader ? -1 : 1));
  const lines = rows.map(r => [modelOf(r.g).name, layerOf(r.g).name, numberOf(r.g), r.reader, r.label, r.verdict, r.text]);
  return [["result", "layer", "neuron", "reader", "label", "verdict", "text"], ...lines]
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
  const buttons = DATA.verdicts.map(name => el("button", { type: "button", on: { click: () => choose(name) } }, name));
  const text = el("textarea", { id: "why", rows: 2, on: { input: () => record(g, { text: text.value }) } });
  const initials = el("input", { id: "reader", size: 6, maxlength: 30, autocomplete: "off", value: reader,
    on: { input: () => { reader = initials.value.trim(); store(); show(); } } });
  const note = el("p", { class: "soft", role: "status" });

  function choose(name) {
    if (!reader) {
      initials.focus();
      note.textContent = "Enter your initials to give a verdict.";
      return;
    }
    record(g, { verdict: verdictOf(g).verdict === name ? "" : name });
    show();
  }

  function show() {
    const now = verdictOf(g);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(now.verdict === DATA.verdicts[i])));
    if (document.activeElement !== text) text.value = now.text;
    text.disabled = !reader;
    const where = kept ? "Kept in this browser until you save them." : "This browser keeps nothing: save them before you close the page.";
    note.textContent = reader ? where : "Enter your initials to give a verdict.";
  }

  show();
  return el("fieldset", { class: "verdict" }, el("legend", {}, "Does the label fit?"),
    el("div", { class: "controls" }, el("label", { for: "reader" }, "your initials"), initials, buttons),
    el("label", { for: "why" }, "why"), text, note);
}
