// Routes, keys, and the state in the address: "#?q=implant&sort=q,up" the table, "#bn2/73" a neuron, "#?concept=mass" a concept.
let current = -1; // the neuron whose page is open

const PANES = ["gallery", "map", "concepts"]; // the first is the usual one

function listLink() {
  const given = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  return "#?" + given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

const VIEWED = { overlay: true, opacity: 60, contour: false, boxes: false, tile: 190, all: false, kind: 0, each: false };

// The address of what is in view, with the settings of the pictures.
function stateLink() {
  const here = location.hash || "#?";
  if (current < 0) return here;
  const own = Object.entries(view).filter(([key, value]) => value !== VIEWED[key]).map(([key, value]) => `${key}=${Number(value)}`);
  return linkOf(current) + (own.length ? `?${own.join("&")}` : "");
}

function readView(search) {
  for (const [key, value] of new URLSearchParams(search)) {
    if (!(key in VIEWED) || !/^\d+$/.test(value)) continue;
    view[key] = typeof VIEWED[key] === "boolean" ? value === "1" : Math.min(Number(value), 420);
  }
}

// Filters changed: the table follows, and the address without a step back for each letter.
function changed() {
  cards = CARDS;
  listedConcepts = MOST_CONCEPTS;
  selected = 0;
  byId("scroll").scrollTop = 0;
  drawList();
  keepAddress();
}

function keepAddress() {
  if (location.hash !== listLink()) location.replace(listLink());
}

function drawList() {
  showControls();
  filterNeurons();
  drawHeads();
  drawRows();
  drawGallery();
  drawMap();
  drawConcepts();
}

function showControls() {
  if (byId("search").value !== state.q) byId("search").value = state.q;
  for (const box of byId("filters").querySelectorAll("select, input")) if (box !== document.activeElement) box.value = state[box.id.slice(3)];
  const pane = PANES.includes(state.pane) ? state.pane : PANES[0];
  for (const one of PANES) {
    byId(one).hidden = one !== pane;
    byId(`show-${one}`).setAttribute("aria-pressed", String(one === pane));
  }
  sayList();
}

function decoded(textIn) {
  try {
    return decodeURIComponent(textIn);
  } catch {
    return textIn;
  }
}

// Show what the address says; a list that the filters have drawn already is left as it is.
function route() {
  if (byId("page").hidden && location.hash === listLink()) return;
  show();
}

function show() {
  byId("large").close();
  const fragment = location.hash.slice(1);
  const before = current;
  const fromPage = !byId("page").hidden;
  current = -1;
  if (!fragment || fragment.startsWith("?")) {
    const given = new URLSearchParams(fragment.slice(1));
    const concept = given.get("concept");
    if (concept !== null) {
      if (blind) return missing("This reading is blind: a concept would tell labels.");
      const c = CONCEPT_NUMBER.get(concept);
      return c === undefined ? missing(`No concept is called “${concept.slice(0, 60)}”.`) : openPage(conceptPage(c));
    }
    for (const key of Object.keys(state)) state[key] = given.get(key) || "";
    if (state.list) takeList(state.list);
    document.title = DATA.title;
    byId("page").hidden = true;
    byId("list").hidden = false;
    drawList();
    if (before >= 0 && shown.includes(before)) moveTo(shown.indexOf(before));
    if (fromPage) byId("scroll").focus({ preventScroll: true });
    return;
  }
  const [path, search] = fragment.split("?");
  const g = neuronAt(path.split("/").map(decoded));
  if (g < 0) return missing(`There is no neuron “${decoded(path).slice(0, 60)}” here.`);
  readView(search || "");
  current = g;
  openPage(neuronPage(g));
}

function missing(message) {
  openPage({ title: message, parts: [el("h2", { tabindex: "-1" }, message), el("p", {}, el("a", { href: listLink() }, "back to all neurons"))] });
}

function openPage({ title, parts }) {
  document.title = `${title} · ${DATA.title}`;
  byId("list").hidden = true;
  byId("page").hidden = false;
  byId("page").replaceChildren(...parts);
  window.scrollTo(0, 0);
  byId("page").querySelector("h2").focus({ preventScroll: true });
}

async function copyState() {
  const link = location.pathname.split("/").pop() + stateLink();
  try {
    await navigator.clipboard.writeText(link);
    told("Copied: open the atlas and put it into the search box, or behind the file's name in the address.");
  } catch {
    told(link);
  }
}

function onSearch() {
  const given = byId("search").value;
  const link = given.indexOf("#");
  if (link >= 0) {
    byId("search").value = "";
    location.hash = given.slice(link);
    return;
  }
  state.q = given;
  if (!byId("page").hidden) {
    current = -1;
    byId("page").hidden = true;
    byId("list").hidden = false;
  }
  changed();
}

function onKey(event) {
  const field = event.target.closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || byId("large").open) return;
  if (event.key === "Escape") {
    if (!byId("page").hidden && !field) location.hash = listLink();
    else if (field === byId("search") && field.value) {
      field.value = "";
      onSearch();
      event.preventDefault();
    } else if (field) field.blur();
    return;
  }
  if (field === byId("search") && event.key === "ArrowDown" && byId("page").hidden) {
    byId("scroll").focus();
    event.preventDefault();
  }
  if (field) return;
  const steps = { ArrowRight: "next", ArrowLeft: "previous" };
  const choice = current >= 0 && /^[1-9]$/.test(event.key) && document.querySelectorAll(".verdict .choices button")[Number(event.key) - 1];
  if (event.key === "/") byId("search").select();
  else if (choice) choice.click();
  else if (event.key === "v" && current >= 0) focusVerdict();
  else if (event.key === "n") goToUnjudged();
  else if (current >= 0 && steps[event.key]) byId(steps[event.key]).click();
  else if (current < 0 && byId("page").hidden) return onListKey(event);
  else return;
  event.preventDefault();
}

function onListKey(event) {
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
  if (by) moveTo(selected + by);
  else if (event.key === "Enter" && event.target.closest("a, button, summary") === null && shown.length) location.hash = linkOf(shown[selected]);
  else return;
  event.preventDefault();
}

function paneTo(name) {
  state.pane = name;
  drawList();
  keepAddress();
}

function start() {
  readStored();
  saySaved();
  buildFront();
  buildFilters();
  if (window.innerWidth <= 560) byId("fold").open = false; // small screens: the neurons come first
  window.addEventListener("resize", () => { if (window.innerWidth > 560) byId("fold").open = true; });
  coverLabels();
  buildTable();
  followScrolling();
  buildMap();
  byId("search").addEventListener("input", onSearch);
  byId("copy").addEventListener("click", copyState);
  byId("save").addEventListener("click", saveVerdicts);
  byId("unjudged").addEventListener("click", goToUnjudged);
  byId("blind").addEventListener("click", toggleBlind);
  for (const pane of PANES) byId(`show-${pane}`).addEventListener("click", () => paneTo(pane === PANES[0] ? "" : pane));
  byId("listed").addEventListener("click", showList);
  byId("load").addEventListener("click", () => byId("loaded").click());
  byId("loaded").addEventListener("change", loadVerdicts);
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", route);
  window.addEventListener("resize", drawRows);
  window.addEventListener("beforeunload", event => { if (unsaved && !kept) event.preventDefault(); });
  show();
  document.addEventListener("DOMContentLoaded", () => { findBlocks(); show(); }); // the pictures are read by now
}

start();
