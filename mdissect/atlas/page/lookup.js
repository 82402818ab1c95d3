// The data of the page, and small helpers. Everything shown is set as text, never as HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const { neurons: N, concepts: C, images: IMAGES, models: MODELS } = DATA;
const SIZE = N.label.length;
const SEVERAL = MODELS.length > 1;
const LAYERS = MODELS.flatMap((model, m) => model.layers.map((layer, depth) => ({ ...layer, m, depth })));
const LAYER_OF = new Uint16Array(SIZE);
LAYERS.forEach((layer, i) => LAYER_OF.fill(i, layer.start, layer.start + layer.n));
const CONCEPT_NUMBER = new Map(C.name.map((name, i) => [name, i]));
const SURE = 0.05; // q up to which a label counts as better than chance

const byId = id => document.getElementById(id);

function el(tag, options, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (name === "style") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name === "class") node.className = value;
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const layerOf = g => LAYERS[LAYER_OF[g]];
const numberOf = g => g - layerOf(g).start;
const labelOf = g => (N.label[g] < 0 ? "" : C.name[N.label[g]]);
const broadOf = c => (c < 0 ? "" : C.broad[c].split("; ")[0]);
const needsOf = g => (N.label[g] < 0 ? "" : C.needs[N.label[g]]);
const modelOf = g => MODELS[layerOf(g).m];
const fixed = (value, digits = 2) => (value === null || value === undefined ? "" : value.toFixed(digits));
const small = value =>
  value === null || value === undefined ? "" : value === 0 || value >= 0.0005 ? fixed(value, 3) : value.toExponential(0);
const percent = share => (share > 0 && share < 0.005 ? "under 1 %" : `${Math.round(100 * share)} %`);
const places = value => (value === null || value === undefined ? "" : String(Number(value.toPrecision(3))));

function nameOf(g, withModel = SEVERAL) {
  return `${withModel ? modelOf(g).name + " · " : ""}${layerOf(g).name} · neuron ${numberOf(g)}`;
}

function linkOf(g) {
  const parts = [layerOf(g).name, numberOf(g)];
  if (SEVERAL) parts.unshift(modelOf(g).name);
  return "#" + parts.map(encodeURIComponent).join("/");
}

const conceptLink = c => "#?concept=" + encodeURIComponent(C.name[c]);

function neuronAt(parts) {
  const [number, layer, model] = [...parts].reverse();
  const known = LAYERS.find(one => one.name === layer && (model === undefined || MODELS[one.m].name === model));
  const n = /^\d+$/.test(number) ? Number(number) : -1;
  return known && n >= 0 && n < known.n ? known.start + n : -1;
}

function swatch(c) {
  const colour = DATA.groups[broadOf(c)] || "#888888";
  return el("span", { class: "swatch", style: { background: colour }, "aria-hidden": "true" });
}

function conceptNode(c) {
  return c < 0 ? el("span", { class: "soft" }, "no label") : el("a", { href: conceptLink(c) }, swatch(c), C.name[c]);
}

function neuronNode(g, more = "") {
  return el("a", { href: linkOf(g) }, nameOf(g), ": ", shownLabel(g), more);
}

// A term with its meaning, which "About this atlas" lists too.
const term = name => (DATA.terms[name] ? el("abbr", { title: DATA.terms[name] }, name) : name);

// Columns attached to the neurons, and the ends of their intervals: "clarity" has "clarity_low" and "clarity_high".
const ATTACHED = Object.keys(N.attached).filter(name => !(/_(low|high)$/.test(name) && name.replace(/_(low|high)$/, "") in N.attached));
const NAMED = { predicts: "predicts unseen patients" };
const spelt = name => NAMED[name] || name.replaceAll("_", " ");

// The value of an attached column, with its interval: "0.58 (0.51 to 0.64)"; "" where it is not known.
function attachedOf(name, g) {
  const value = N.attached[name][g];
  if (value === null || value === undefined) return "";
  const ends = ["low", "high"].map(end => (N.attached[`${name}_${end}`] || [])[g]);
  const between = ends.every(end => typeof end === "number") ? ` (${ends.map(end => fixed(end)).join(" to ")})` : "";
  return between ? `${fixed(value)}${between}` : typeof value === "number" ? places(value) : String(value);
}

const TOLD_FOR = 9000; // milliseconds
let untold = 0;

function told(message) {
  byId("told").textContent = message;
  clearTimeout(untold);
  untold = setTimeout(() => { byId("told").textContent = ""; }, TOLD_FOR);
}
