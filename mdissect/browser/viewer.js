// One picture to look at closely: zoom and pan, window and level, inverted; an activation map and findings' boxes over it.
const VIEWER_ZOOMS = { most: 16, step: 1.25, sharp: 4 }; // from `sharp` on, pixels are squares
const VIEWER_SMALLEST = 256; // of the levels of the pyramid

// An element of HTML: properties, then children; nothing is read as HTML.
function node(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

// The values of a PNG or WebP: one plane of a grey picture, three of a coloured one. `deep`: 16 bits, as red * 256 + green.
async function viewerPixels(address, deep) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = node("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const n = width * height;
  if (deep) {
    const plane = new Uint16Array(n);
    for (let i = 0; i < n; i++) plane[i] = data[4 * i] * 256 + data[4 * i + 1];
    return { width, height, planes: [plane], most: 65535 };
  }
  let grey = true;
  for (let i = 0; grey && i < n; i++) grey = Math.abs(data[4 * i] - data[4 * i + 1]) < 3 && Math.abs(data[4 * i] - data[4 * i + 2]) < 3;
  const planes = (grey ? [0] : [0, 1, 2]).map(channel => {
    const plane = new Uint8Array(n);
    for (let i = 0; i < n; i++) plane[i] = data[4 * i + channel];
    return plane;
  });
  return { width, height, planes, most: 255 };
}

// Half of a picture's size: means of four pixels, so that nothing small is lost or flickers when it is zoomed out.
function viewerHalf(level) {
  const width = level.width >> 1, height = level.height >> 1;
  const planes = level.planes.map(plane => {
    const half = new plane.constructor(width * height);
    for (let y = 0; y < height; y++) {
      for (let x = 0, i = 2 * y * level.width; x < width; x++, i += 2) {
        half[y * width + x] = (plane[i] + plane[i + 1] + plane[i + level.width] + plane[i + level.width + 1] + 2) >> 2;
      }
    }
    return half;
  });
  return { ...level, width, height, planes };
}

function viewerPyramid(pixels) {
  const levels = [pixels];
  while (Math.min(levels.at(-1).width, levels.at(-1).height) >= 2 * VIEWER_SMALLEST) levels.push(viewerHalf(levels.at(-1)));
  return levels;
}

// Codes to grey values of the screen: `level` and `width` of the window are shares of the codes' range.
function viewerShades(most, { level, width, invert }) {
  const shades = new Uint8ClampedArray(most + 1);
  for (let code = 0; code <= most; code++) {
    const share = (code / most - level) / Math.max(width, 1 / most) + 0.5;
    shades[code] = 255 * (invert ? 1 - share : share);
  }
  return shades;
}

// The part of a picture in view: `scale` pixels of the screen to one of the picture, whose corner lies at (left, top).
function viewerDraw(levels, full, { scale, left, top }, shades, width, height) {
  const own = levels[0].width / full.width; // a preview has fewer pixels than the picture that it stands for
  let at = 0;
  while (at + 1 < levels.length && scale / own * 2 ** (at + 1) <= 1.01) at++;
  const level = levels[at], across = level.width / full.width, down = level.height / full.height;
  const sharp = scale / own >= VIEWER_ZOOMS.sharp;
  const drawn = new ImageData(width, height), data = drawn.data, planes = level.planes;
  const columns = new Float32Array(width);
  for (let x = 0; x < width; x++) columns[x] = ((x + 0.5 - left) / scale) * across - 0.5;
  for (let y = 0; y < height; y++) {
    const row = ((y + 0.5 - top) / scale) * down - 0.5;
    if (row < -0.5 || row >= level.height - 0.5) continue;
    const y0 = Math.max(Math.floor(sharp ? row + 0.5 : row), 0), y1 = sharp ? y0 : Math.min(y0 + 1, level.height - 1);
    const fy = sharp ? 0 : Math.max(row - y0, 0);
    for (let x = 0; x < width; x++) {
      const column = columns[x];
      if (column < -0.5 || column >= level.width - 0.5) continue;
      const x0 = Math.max(Math.floor(sharp ? column + 0.5 : column), 0), x1 = sharp ? x0 : Math.min(x0 + 1, level.width - 1);
      const fx = sharp ? 0 : Math.max(column - x0, 0);
      const a = y0 * level.width, b = y1 * level.width, to = 4 * (y * width + x);
      for (let channel = 0; channel < 3; channel++) {
        if (channel && planes.length === 1) {
          data[to + channel] = data[to];
          continue;
        }
        const plane = planes[channel];
        const upper = plane[a + x0] * (1 - fx) + plane[a + x1] * fx, lower = plane[b + x0] * (1 - fx) + plane[b + x1] * fx;
        data[to + channel] = shades[Math.round(upper * (1 - fy) + lower * fy)];
      }
      data[to + 3] = 255;
    }
  }
  return drawn;
}

// A viewer in an element. `given`: alt; controls of the overlay (`overlays`), `onDetail` is asked for the whole picture.
function makeViewer(root, given = {}) {
  const start = { level: 0.5, width: 1, invert: false, window: false };
  const set = { ...start, overlay: true, opacity: 60, contour: false, boxes: false };
  let levels = null, full = null, values = null, map = null, breast = null, boxes = [], address = "", asked = false, peak = null;
  let view = { scale: 1, left: 0, top: 0 }, fitted = true, frame = 0, round = 0;
  const picture = node("canvas", { role: "img", "aria-label": "" }), veil = node("canvas", { "aria-hidden": "true" });
  const outlines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  outlines.setAttribute("aria-hidden", "true");
  const stage = node("div", { class: "mdv-stage", tabindex: "0", role: "group", "data-lm-suppress-shortcuts": "true",
    "aria-label": "Picture: plus and minus zoom, 0 shows all of it, 1 its own pixels, arrows move it, i inverts, z goes to the strongest place" }, picture, veil, outlines);
  const said = node("span", { class: "mdv-said", role: "status" });
  const bar = viewerControls(set, { zoom: by => zoom(by), fit, own: () => zoomTo(1), peak: toPeak, changed: drawn, reset, overlays: given.overlays });
  root.classList.add("mdv");
  root.replaceChildren(bar.element, stage, node("div", { class: "mdv-foot" }, said, bar.scale));

  const pixel = () => Math.min(window.devicePixelRatio || 1, 2);
  const size = () => [Math.max(Math.round(stage.clientWidth * pixel()), 1), Math.max(Math.round(stage.clientHeight * pixel()), 1)];
  const fitting = () => Math.min(size()[0] / full.width, size()[1] / full.height);

  function fit() {
    if (!full) return;
    const [width, height] = size(), scale = fitting();
    view = { scale, left: (width - scale * full.width) / 2, top: (height - scale * full.height) / 2 };
    fitted = true;
    drawn();
  }

  // Zoom to a scale; the point under (x, y) of the screen, by default the middle, stays where it is.
  function zoomTo(scale, x = size()[0] / 2, y = size()[1] / 2) {
    if (!full) return;
    const least = Math.min(fitting(), 1), next = Math.min(Math.max(scale, least), Math.max(VIEWER_ZOOMS.most, least));
    if (next <= least * 1.001 && least === fitting() && scale < view.scale) return fit();
    const by = next / view.scale;
    view = { scale: next, left: x - (x - view.left) * by, top: y - (y - view.top) * by };
    fitted = false;
    kept();
    if (next < fitting()) [view.left, view.top] = [(size()[0] - next * full.width) / 2, (size()[1] - next * full.height) / 2];
    if (!asked && given.onDetail && levels[0].width * 1.01 < full.width * Math.min(next, 1)) detail();
    drawn();
  }

  const zoom = (by, x, y) => zoomTo(view.scale * by, x, y);
  const detail = () => { asked = true; given.onDetail(); };

  // At least a part of the picture stays in view.
  function kept() {
    const [width, height] = size(), margin = 60;
    view.left = Math.min(Math.max(view.left, margin - view.scale * full.width), width - margin);
    view.top = Math.min(Math.max(view.top, margin - view.scale * full.height), height - margin);
  }

  // The strongest place of the activation map, in the middle and enlarged.
  function toPeak() {
    if (!full || !map) return;
    const at = map.bytes.reduce((best, value, p) => (value > map.bytes[best] ? p : best), 0);
    if (!map.bytes[at]) return;
    const x = ((at % map.width + 0.5) / map.width) * full.width, y = ((Math.floor(at / map.width) + 0.5) / map.height) * full.height;
    const scale = Math.max(1, 3 * fitting()), [width, height] = size();
    view = { ...view, left: width / 2 - view.scale * x, top: height / 2 - view.scale * y };
    peak = [x, y];
    zoomTo(scale);
  }

  function pan(x, y) {
    view.left += x;
    view.top += y;
    fitted = false;
    kept();
    drawn();
  }

  function reset() {
    Object.assign(set, { level: start.level, width: start.width, invert: false });
    drawn();
  }

  function drawn() {
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
  }

  function draw() {
    if (!levels || !stage.clientWidth) return;
    const [width, height] = size();
    for (const canvas of [picture, veil]) if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const shown = viewerDraw(levels, full, view, viewerShades(levels[0].most, set), width, height);
    picture.getContext("2d").putImageData(shown, 0, 0);
    drawVeil(width, height);
    drawBoxes();
    const zoomed = `${Math.round(100 * view.scale)} %`, deep = levels[0].most > 255 ? "16 bits" : "8 bits";
    const detailed = values.source ? values.source : levels[0].width >= full.width ? "full resolution" : `preview of ${levels[0].width} × ${levels[0].height}`;
    said.textContent = `zoom ${zoomed}, ${full.width} × ${full.height} pixels (${detailed}, ${deep})${set.invert ? ", inverted" : ""}`;
    bar.show({ values, map, boxes, detail: given.onDetail && !asked && (values.more || levels[0].width < full.width) ? detail : null });
  }

  // The veil is drawn where the picture is, in at most half of the screen's pixels a side.
  function drawVeil(width, height) {
    const context = veil.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (!map || !set.overlay) return;
    const [left, top] = [Math.max(view.left, 0), Math.max(view.top, 0)];
    const right = Math.min(view.left + view.scale * full.width, width), bottom = Math.min(view.top + view.scale * full.height, height);
    const share = set.contour ? 1 : 0.5;
    const columns = Math.round((right - left) * share), rows = Math.round((bottom - top) * share);
    if (columns < 1 || rows < 1) return;
    const edges = [(left - view.left) / (view.scale * full.width), (top - view.top) / (view.scale * full.height),
      (right - view.left) / (view.scale * full.width), (bottom - view.top) / (view.scale * full.height)];
    const off = breast && heatValues(breast, columns, rows, edges);
    const small = node("canvas", { width: columns, height: rows });
    const settings = { opacity: set.opacity / 100, contour: set.contour, off };
    small.getContext("2d").putImageData(heatPixels(heatValues(map, columns, rows, edges), columns, rows, settings), 0, 0);
    context.drawImage(small, left, top, right - left, bottom - top);
  }

  function drawBoxes() {
    const by = view.scale / pixel(), [left, top] = [view.left / pixel(), view.top / pixel()];
    outlines.replaceChildren(...(set.boxes ? boxes : []).flatMap(box => {
      const made = tag => document.createElementNS("http://www.w3.org/2000/svg", tag);
      const rectangle = made("rect"), name = made("text");
      const place = { x: left + by * box.x, y: top + by * box.y, width: by * box.width, height: by * box.height };
      for (const [key, value] of Object.entries(place)) rectangle.setAttribute(key, value);
      if (!box.named) rectangle.setAttribute("class", "mdv-other");
      name.setAttribute("x", place.x + 2);
      name.setAttribute("y", place.y - 4);
      name.textContent = box.finding;
      return [rectangle, name];
    }));
    if (peak && set.overlay) { // a ring around the strongest place, once one went there
      const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      for (const [key, value] of Object.entries({ cx: left + by * peak[0], cy: top + by * peak[1], r: 16 })) ring.setAttribute(key, value);
      outlines.append(ring);
    }
  }

  viewerGestures(stage, { set, pixel, zoom, zoomTo, pan, fit, peak: toPeak, drawn, scale: () => view.scale, fitted: () => fitted, fitting });
  const watch = new ResizeObserver(() => (fitted ? fit() : drawn()));
  watch.observe(stage);

  // Show a picture: its address, its own size, the values of its codes; the view stays while it is the same one.
  async function show(next) {
    const turn = ++round, same = full && next.key === full.key;
    picture.setAttribute("aria-label", next.alt);
    if (next.address !== address) {
      const pixels = await viewerPixels(next.address, next.deep);
      if (turn !== round) return;
      [levels, address] = [viewerPyramid(pixels), next.address];
    }
    values = { low: next.low, high: next.high, more: next.more, source: next.source };
    full = { width: next.width || levels[0].width, height: next.height || levels[0].height, key: next.key };
    if (!same) [asked, peak] = [false, null];
    if (!same || fitted) fit();
    drawn();
  }

  function over(next) {
    map = "map" in next ? next.map : map;
    breast = "breast" in next ? next.breast : breast;
    boxes = "boxes" in next ? next.boxes : boxes;
    drawn();
  }

  function settings(next) {
    Object.assign(set, next);
    drawn();
  }

  return { show, over, settings, stage, close: () => watch.disconnect(), state: () => ({ ...set, ...view, fitted }) };
}
