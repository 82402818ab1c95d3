// Pictures, read from their blocks when they are first shown; maps of activation over them, boxes, and the enlarged view.
const view = { overlay: true, opacity: 60, contour: false, boxes: false, tile: 190, all: false, kind: 0, each: false };
const HEAT_HEIGHT = { veil: 96, contour: 320 }; // pixels that a map is drawn in
const MASK_HEIGHT = 96;
const blocks = { pictures: new Map(), maps: new Map(), further: new Map() };
const firsts = { maps: [], further: [] };

function findBlocks() {
  for (const kind of Object.keys(firsts)) firsts[kind] = [...document.querySelectorAll(`script.${kind}`)].map(node => Number(node.dataset.first));
}

function readBlock(kind, first) {
  if (!blocks[kind].has(first)) {
    const node = document.querySelector(`script.${kind}[data-first="${first}"]`);
    if (!node) return null; // not read by the browser yet
    blocks[kind].set(first, JSON.parse(node.textContent));
  }
  return blocks[kind].get(first);
}

// A neuron's row in the blocks of a kind; undefined or null where there is none.
function rowOf(kind, g) {
  let first = -1;
  for (const one of firsts[kind]) if (one <= g && one > first) first = one;
  const rows = first < 0 ? null : readBlock(kind, first);
  return rows && rows[g - first];
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
  const found = rowOf("maps", g);
  if (!found) return null;
  const [n, height, width, highest, packed, exact] = found;
  const of = `at one place, largest ${exact ? "over all images" : `over its ${n} strongest images`}`;
  return { n, height, width, highest, of, bytes: Uint8Array.from(atob(packed), letter => letter.charCodeAt(0)) };
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

// One map of a neuron, for the scripts of the viewer.
function mapAt(maps, rank) {
  const { height, width, bytes, highest, of } = maps;
  return { height, width, highest, of, bytes: bytes.subarray(rank * height * width, (rank + 1) * height * width) };
}

// Where on a mammogram the breast is, as a map: what is brighter than its air; null for other images.
const breasts = new Map();
function breastOf(i, image) {
  const level = IMAGES.air[i];
  if (level === undefined || !image.naturalWidth) return null;
  if (!breasts.has(i)) {
    const height = Math.min(MASK_HEIGHT, image.naturalHeight), width = Math.max(Math.round(height * image.naturalWidth / image.naturalHeight), 1);
    const context = el("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const bytes = Uint8Array.from({ length: width * height }, (_, p) => (data[4 * p] > level ? 255 : 0));
    breasts.set(i, { width, height, bytes: largestPart(bytes, width, height) });
  }
  return breasts.get(i);
}

// The largest connected part of a mask: letters beside the breast are not of it.
function largestPart(bytes, width, height) {
  const part = new Int32Array(bytes.length);
  let [best, most, n] = [0, 0, 0];
  for (let start = 0; start < bytes.length; start++) {
    if (!bytes[start] || part[start]) continue;
    const stack = [start];
    let size = 0;
    part[start] = ++n;
    while (stack.length) {
      const p = stack.pop(), x = p % width;
      size++;
      for (const q of [x > 0 ? p - 1 : -1, x < width - 1 ? p + 1 : -1, p - width, p + width]) {
        if (q >= 0 && q < bytes.length && bytes[q] && !part[q]) {
          part[q] = n;
          stack.push(q);
        }
      }
    }
    if (size > most) [best, most] = [n, size];
  }
  return bytes.map((value, p) => (part[p] === best ? value : 0));
}

// A neuron's map over an image, once that is decoded: weaker in the air around the breast.
function heat(i, image, maps, rank) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  image.decode().then(() => {
    canvas.height = HEAT_HEIGHT[view.contour ? "contour" : "veil"];
    canvas.width = Math.max(Math.round(canvas.height * image.naturalWidth / image.naturalHeight), 1);
    paintHeat(canvas, mapAt(maps, rank), breastOf(i, image), { opacity: 1, contour: view.contour });
  }, () => {});
  return canvas;
}

// Whether a label (the number of its concept; none: -1) names a finding.
function isNamed(finding, label) {
  return label < 0 || (IMAGES.named[finding] || []).includes(label);
}

function boxesOver(i, label) {
  const rows = IMAGES.boxes[i] || [];
  const drawn = rows.map(([finding, x, y, width, height]) => svg("rect", { x, y, width, height, class: isNamed(finding, label) ? "" : "other" }, svg("title", {}, finding)));
  return svg("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" }, ...drawn);
}

// An image with what is laid over it; `maps` and `rank` where a neuron's activation is known there.
function shot(i, alt, maps = null, rank = -1, label = -1) {
  const image = thumbnail(i, alt);
  if (image.tagName !== "IMG") return image;
  const layers = [image];
  if (maps && rank >= 0 && rank < maps.n && view.overlay) layers.push(heat(i, image, maps, rank));
  if (view.boxes && !coveredNow()) layers.push(boxesOver(i, label));
  return el("span", { class: "shot", style: { "--opacity": String(view.opacity / 100) } }, layers);
}

function tile(list, position) {
  const { i, value, maps, rank, unit, label, g } = list[position];
  const shows = { true: "shows it", false: "does not show it" }[showsLabel(g, rank)] || "";
  const said = value === undefined ? "" : `${unit} ${places(value)}`;
  const alt = `Image ${captionOf(i)}${said ? `, ${said}` : ""}`;
  return el("figure", { class: "tile" },
    el("button", { type: "button", "aria-label": `Enlarge image ${position + 1}: ${captionOf(i)}`, on: { click: () => enlarge(list, position) } },
      shot(i, alt, maps, rank, label)),
    el("figcaption", {}, el("b", {}, said), shows ? el("span", { class: shows === "shows it" ? "shows" : "absent" }, ` · ${shows}`) : "",
      said ? " · " : "", captionOf(i), findingsIn(i)));
}

function findingsIn(i) {
  const rows = view.boxes && !coveredNow() ? IMAGES.boxes[i] || [] : [];
  return rows.length ? ` · annotated: ${[...new Set(rows.map(row => row[0]))].join(", ")}` : "";
}

function enlarge(list, start) {
  const dialog = byId("large");
  if (dialog.open) dialog.onclose();
  let at = start;
  let settings = { overlay: view.overlay, opacity: view.opacity, contour: view.contour, boxes: view.boxes };
  let viewer = null;
  const leave = () => {
    if (!viewer) return;
    const now = viewer.state();
    settings = Object.fromEntries(Object.keys(settings).map(key => [key, now[key]]));
    viewer.close();
    viewer = null;
  };
  function draw() {
    leave();
    const { i, value, maps, rank, unit, label } = list[at];
    const box = el("div", {});
    const said = value === undefined ? "" : ` · ${unit} ${places(value)}`;
    const neurons = strongestFor(i);
    dialog.replaceChildren(
      el("div", { class: "controls" },
        el("button", { type: "button", disabled: at === 0, on: { click: () => step(-1) } }, "previous image"),
        el("button", { type: "button", disabled: at === list.length - 1, on: { click: () => step(1) } }, "next image"),
        el("button", { type: "button", id: "close", on: { click: () => dialog.close() } }, "close"),
        el("span", { role: "status" }, `${at + 1} of ${list.length}`)),
      pictureOf(i) ? box : thumbnail(i, `Image ${captionOf(i)}`),
      el("p", {}, el("b", {}, captionOf(i)), said, findingsIn(i)),
      viewsOf(list[at]),
      neurons.length ? el("p", { class: "soft" }, "Among the strongest images of: ", neurons.flatMap((g, k) => [k ? "; " : "", neuronNode(g)])) : "");
    for (const link of dialog.querySelectorAll("a")) link.addEventListener("click", () => dialog.close());
    if (pictureOf(i)) viewer = closeLook(box, list[at], label, settings);
  }
  function step(by) {
    at = Math.max(0, Math.min(at + by, list.length - 1));
    draw();
    byId("close").focus();
  }
  dialog.onclose = leave;
  dialog.onkeydown = event => {
    if (event.target.closest("input")) return event.stopPropagation();
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
    if (event.key.startsWith("Arrow")) event.stopPropagation();
  };
  draw();
  if (!dialog.open) dialog.showModal();
  byId("close").focus();
}

// The patient's other pictures below an enlarged one, with the neuron's activation where the atlas has it.
function viewsOf(shown) {
  const others = otherViews(shown.i);
  if (!others.length) return "";
  const values = others.map(i => (shown.g === undefined ? undefined : activationIn(shown.g, i)));
  const list = [shown, ...others.map((i, k) => (shown.g === undefined ? { i } : imageOf(shown.g, i, values[k], shown.maps)))];
  return el("section", { "aria-label": "The patient’s other images" }, el("h3", {}, "The patient’s other images"),
    el("div", { class: "tiles views" }, others.map((_, k) => tile(list, k + 1))));
}

// The picture in a viewer; its pixels are those of the atlas's thumbnail, which are fewer than the image's.
function closeLook(box, { i, value, maps, rank, unit }, label = -1, settings = {}) {
  const viewer = makeViewer(box, { overlays: true });
  const said = value === undefined ? "" : `, ${unit} ${places(value)}`;
  const address = pictureOf(i);
  const thumb = el("img", { src: address });
  viewer.settings(settings);
  viewer.show({ key: String(i), alt: `Image ${captionOf(i)}${said}`, address, low: 0, high: 255, deep: false, more: false, source: "as the atlas holds it" });
  thumb.decode().then(() => {
    const [across, down] = [thumb.naturalWidth / 1000, thumb.naturalHeight / 1000];
    const boxes = (coveredNow() ? [] : IMAGES.boxes[i] || []).map(([finding, x, y, width, height]) => ({ finding, x: x * across, y: y * down, width: width * across, height: height * down, named: isNamed(finding, label) }));
    viewer.over({ map: maps && rank >= 0 && rank < maps.n ? mapAt(maps, rank) : null, breast: breastOf(i, thumb), boxes });
  }, () => {});
  return viewer;
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

function imageControls(redraw, maps, first = null) {
  const check = (key, name) => {
    const box = el("input", { type: "checkbox", id: `view-${key}`, on: { change: () => {
      view[key] = box.checked;
      if (key === "contour" && view.contour) view.overlay = byId("view-overlay").checked = true;
      redraw();
    } } });
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
  return el("div", { class: "controls" }, first,
    maps && check("overlay", "activation map"), maps && range("opacity", "opacity", 5, 100, opacity),
    maps && check("contour", "contours"),
    maps && el("span", { class: "scale", title: "one scale for all images of this neuron" }, "0", el("i", {}), places(maps.highest), el("span", { class: "soft" }, maps.of)),
    IMAGES.marked && !coveredNow() && check("boxes", "annotations"), 
    IMAGES.marked && !coveredNow() && view.boxes && el("span", { class: "soft" }, "solid: what the label names; dashed: other findings"), first && ofPatient.size > 0 && check("each", "one of each patient"), range("tile", "size", 110, 420, size));
}
