// Pictures, read from their blocks when they are first shown; maps of activation over them, boxes, and the enlarged view.
const view = { overlay: true, opacity: 60, boxes: false, tile: 190, all: false };
const HEAT = [0, 229, 255];
const blocks = { pictures: new Map(), maps: new Map() };
let firstOfMaps = [];

function findBlocks() {
  firstOfMaps = [...document.querySelectorAll("script.maps")].map(node => Number(node.dataset.first));
}

function readBlock(kind, first) {
  if (!blocks[kind].has(first)) {
    const node = document.querySelector(`script.${kind}[data-first="${first}"]`);
    if (!node) return null; // not read by the browser yet
    blocks[kind].set(first, JSON.parse(node.textContent));
  }
  return blocks[kind].get(first);
}

function pictureOf(i) {
  const at = IMAGES.picture[i];
  if (at < 0) return null;
  const first = Math.floor(at / DATA.block) * DATA.block;
  const block = readBlock("pictures", first);
  return block && `data:image/webp;base64,${block[at - first]}`;
}

// The maps of a neuron: {n, height, width, highest, bytes}; null where there are none.
function mapsOf(g) {
  let first = -1;
  for (const one of firstOfMaps) if (one <= g && one > first) first = one;
  const rows = first < 0 ? null : readBlock("maps", first);
  const found = rows && rows[g - first];
  if (!found) return null;
  const [n, height, width, highest, packed] = found;
  return { n, height, width, highest, bytes: Uint8Array.from(atob(packed), letter => letter.charCodeAt(0)) };
}

function thumbnail(i, alt) {
  const address = pictureOf(i);
  const said = alt ? { role: "img", "aria-label": `${alt} (no picture)` } : { "aria-hidden": "true" };
  if (!address) return el("span", { class: "missing", ...said }, "no picture");
  return el("img", { src: address, alt, decoding: "async" });
}

function captionOf(i) {
  if (coveredNow()) return "details hidden";
  return IMAGES.id[i] + (IMAGES.caption[i] ? `, ${IMAGES.caption[i]}` : "");
}

function heat(maps, rank) {
  const { height, width, bytes } = maps;
  const canvas = el("canvas", { width, height, "aria-hidden": "true" });
  const pixels = new ImageData(width, height);
  for (let p = 0; p < height * width; p++) {
    pixels.data.set([...HEAT, bytes[rank * height * width + p]], 4 * p);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function boxesOver(i) {
  const rows = IMAGES.boxes[i] || [];
  const drawn = rows.map(([finding, x, y, width, height]) => svg("rect", { x, y, width, height }, svg("title", {}, finding)));
  return svg("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" }, ...drawn);
}

// An image with what is laid over it; `maps` and `rank` where a neuron's activation is known there.
function shot(i, alt, maps = null, rank = -1) {
  const image = thumbnail(i, alt);
  if (image.tagName !== "IMG") return image;
  const layers = [image];
  if (maps && rank >= 0 && rank < maps.n && view.overlay) layers.push(heat(maps, rank));
  if (view.boxes && !coveredNow()) layers.push(boxesOver(i));
  return el("span", { class: "shot", style: { "--opacity": String(view.opacity / 100) } }, layers);
}

function tile(list, position) {
  const { i, value, maps, rank, unit } = list[position];
  const said = value === undefined ? "" : `${unit} ${places(value)}`;
  const alt = `Image ${captionOf(i)}${said ? `, ${said}` : ""}`;
  return el("figure", { class: "tile" },
    el("button", { type: "button", "aria-label": `Enlarge image ${position + 1}: ${captionOf(i)}`, on: { click: () => enlarge(list, position) } },
      shot(i, alt, maps, rank)),
    el("figcaption", {}, el("b", {}, said), said ? " · " : "", captionOf(i), findingsIn(i)));
}

function findingsIn(i) {
  const rows = view.boxes && !coveredNow() ? IMAGES.boxes[i] || [] : [];
  return rows.length ? ` · annotated: ${[...new Set(rows.map(row => row[0]))].join(", ")}` : "";
}

function enlarge(list, start) {
  const dialog = byId("large");
  let at = start;
  function draw() {
    const { i, value, maps, rank, unit } = list[at];
    const said = value === undefined ? "" : ` · ${unit} ${places(value)}`;
    const neurons = strongestFor(i);
    dialog.replaceChildren(
      el("div", { class: "controls" },
        el("button", { type: "button", disabled: at === 0, on: { click: () => step(-1) } }, "previous image"),
        el("button", { type: "button", disabled: at === list.length - 1, on: { click: () => step(1) } }, "next image"),
        el("button", { type: "button", id: "close", on: { click: () => dialog.close() } }, "close"),
        el("span", { role: "status" }, `${at + 1} of ${list.length}`)),
      shot(i, `Image ${captionOf(i)}`, maps, rank),
      el("p", {}, el("b", {}, captionOf(i)), said, findingsIn(i)),
      neurons.length ? el("p", { class: "soft" }, "Among the strongest images of: ", neurons.flatMap((g, k) => [k ? "; " : "", neuronNode(g)])) : "");
    for (const link of dialog.querySelectorAll("a")) link.addEventListener("click", () => dialog.close());
  }
  function step(by) {
    at = Math.max(0, Math.min(at + by, list.length - 1));
    draw();
    byId("close").focus();
  }
  dialog.onkeydown = event => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
    if (event.key.startsWith("Arrow")) event.stopPropagation();
  };
  draw();
  dialog.showModal();
  byId("close").focus();
}

const MOST_LISTED = 8;
let byImage = null;

// Neurons among whose strongest images this one is, those where it ranks highest first.
function strongestFor(i) {
  if (!byImage) {
    byImage = new Map();
    N.images.forEach((images, g) => images.forEach((image, rank) => {
      if (!byImage.has(image)) byImage.set(image, []);
      byImage.get(image).push([rank, g]);
    }));
  }
  return (byImage.get(i) || []).sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MOST_LISTED).map(pair => pair[1]);
}

function imageControls(redraw, maps) {
  const check = (key, name) => {
    const box = el("input", { type: "checkbox", id: `view-${key}`, on: { change: () => { view[key] = box.checked; redraw(); } } });
    box.checked = view[key];
    return el("span", {}, box, " ", el("label", { for: `view-${key}` }, name));
  };
  const range = (key, name, least, most, apply) => {
    const box = el("input", { type: "range", id: `view-${key}`, min: least, max: most, on: { input: () => { view[key] = Number(box.value); apply(); } } });
    box.value = view[key];
    return el("span", {}, el("label", { for: `view-${key}` }, name), " ", box);
  };
  const opacity = () => document.querySelectorAll(".shot").forEach(one => one.style.setProperty("--opacity", view.opacity / 100));
  const size = () => document.querySelectorAll(".tiles").forEach(one => one.style.setProperty("--tile", `${view.tile}px`));
  return el("div", { class: "controls" },
    maps && check("overlay", "activation map"), maps && range("opacity", "opacity", 5, 100, opacity),
    maps && el("span", { class: "scale", title: "one scale for all images of this neuron" }, "0", el("i", {}), places(maps.highest)),
    IMAGES.marked && !coveredNow() && check("boxes", "annotations"), range("tile", "size", 110, 420, size));
}
