// The reader's list of neurons: it travels in the address, by the neurons' own links.
const LISTED = new Set();
const idOf = g => linkOf(g).slice(1);
const listText = () => [...LISTED].map(idOf).join(",");

function takeList(text) {
  LISTED.clear();
  for (const id of text.split(",")) {
    const g = id ? neuronAt(id.split("/").map(decoded)) : -1;
    if (g >= 0) LISTED.add(g);
  }
  sayList();
}

function sayList() {
  byId("listed").textContent = `my list (${LISTED.size})`;
  byId("listed").hidden = !LISTED.size && !state.list;
  byId("listed").setAttribute("aria-pressed", String(Boolean(state.list)));
}

let beforeList = {}; // filters and search while the list is shown

// Show the list alone, or what was shown before.
function showList() {
  const list = state.list ? "" : listText();
  if (list) beforeList = { ...state };
  Object.assign(state, list ? { ...DEFAULTS, list } : { ...beforeList, list });
  if (byId("page").hidden) changed();
  else location.hash = listLink();
  sayList();
}

function listButton(g) {
  const say = () => {
    button.textContent = LISTED.has(g) ? "take off my list" : "add to my list";
    button.setAttribute("aria-pressed", String(LISTED.has(g)));
  };
  const button = el("button", { type: "button", id: "keep", on: { click: () => {
    if (!LISTED.delete(g)) LISTED.add(g);
    if (state.list) state.list = listText();
    say();
    sayList();
  } } });
  say();
  return button;
}
