// The controls of a viewer, and its gestures: wheel, drag, pinch, double click, keys.
function viewerControls(set, act) {
  const toggles = [];
  const toggle = (key, name, title) => {
    const button = node("button", { type: "button", title, onclick: () => { set[key] = !set[key]; act.changed(); } }, name);
    toggles.push([key, button]);
    return button;
  };
  const press = (name, label, does) => node("button", { type: "button", "aria-label": label, title: label, onclick: does }, name);
  const sliders = [];
  const slider = (key, name, least, most, step, shown) => {
    const input = node("input", { type: "range", min: least, max: most, step, oninput: () => { set[key] = Number(input.value); act.changed(); } });
    const value = node("output", {});
    sliders.push([key, input, value, shown]);
    return node("label", { class: "mdv-range" }, name, input, value);
  };
  let values = { low: 0, high: 255 };
  const real = share => viewerNumber(values.low + share * (values.high - values.low));
  const spread = share => viewerNumber(share * (values.high - values.low));
  const more = node("button", { type: "button", hidden: true, title: "every pixel, with all of its bits" }, "full resolution");
  const zooms = node("span", { class: "mdv-group", role: "group", "aria-label": "Zoom" },
    press("−", "zoom out", () => act.zoom(1 / VIEWER_ZOOMS.step ** 2)), press("+", "zoom in", () => act.zoom(VIEWER_ZOOMS.step ** 2)),
    press("fit", "show all of it", act.fit), press("1:1", "its own pixels", act.own), more);
  const greys = node("span", { class: "mdv-group", role: "group", "aria-label": "Grey values" },
    slider("level", "level", 0, 1, 1 / 255, real), slider("width", "width", 1 / 255, 1, 1 / 255, spread),
    toggle("invert", "invert", "white for black"), toggle("window", "drag sets the window", "across: width, up and down: level; else it moves the picture"),
    press("reset", "reset the grey values", act.reset));
  const veil = node("span", { class: "mdv-group", role: "group", "aria-label": "Activation map", hidden: true },
    toggle("overlay", "activation map", "where the neuron responds"), slider("opacity", "opacity", 5, 100, 1, share => `${share} %`),
    toggle("contour", "contours", "lines at a quarter, a half and three quarters of the scale"),
    press("strongest place", "go to the strongest place of the activation map", act.peak));
  const marked = node("span", { class: "mdv-group", hidden: true }, toggle("boxes", "annotations", "boxes of findings"));
  const scale = node("span", { class: "mdv-scales" });

  function show(now) {
    values = now.values;
    for (const [key, button] of toggles) button.setAttribute("aria-pressed", String(set[key]));
    for (const [key, input, value, shown] of sliders) {
      if (Number(input.value) !== set[key]) input.value = set[key];
      value.textContent = shown(set[key]);
      input.setAttribute("aria-valuetext", shown(set[key]));
    }
    veil.hidden = !(act.overlays && now.map);
    marked.hidden = !(act.overlays && now.boxes.length);
    more.hidden = !now.detail;
    more.onclick = now.detail;
    const ends = [set.level - set.width / 2, set.level + set.width / 2].map(share => real(Math.min(Math.max(share, 0), 1)));
    scale.replaceChildren(viewerScale(set.invert ? "mdv-grey mdv-inverted" : "mdv-grey", ...ends, "pixel values"),
      ...(now.map && set.overlay ? [viewerScale("mdv-heat", "0", viewerNumber(now.map.highest), now.map.of || "activation")] : []));
  }

  return { element: node("div", { class: "mdv-bar" }, zooms, greys, veil, marked), scale, show };
}

// A colour bar with the values at its ends, and what they are.
function viewerScale(kind, low, high, what) {
  return node("span", { class: "mdv-scale" }, node("span", {}, low), node("i", { class: kind, "aria-hidden": "true" }), node("span", {}, high),
    node("span", { class: "mdv-soft" }, what));
}

function viewerNumber(value) {
  return Number.isInteger(value) ? String(value) : Number(value.toPrecision(3)).toString();
}

function viewerGestures(stage, act) {
  const pointers = new Map();
  let apart = 0;
  const at = event => {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) * act.pixel(), (event.clientY - box.top) * act.pixel()];
  };
  const middle = points => [0, 1].map(axis => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
  const distance = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const windowed = (x, y) => {
    act.set.width = Math.min(Math.max(act.set.width + x / 400 / act.pixel(), 1 / 255), 1);
    act.set.level = Math.min(Math.max(act.set.level - y / 400 / act.pixel(), 0), 1);
    act.drawn();
  };
  stage.addEventListener("wheel", event => {
    event.preventDefault();
    act.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...at(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", event => {
    if (event.button > 2) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    apart = pointers.size === 2 ? distance([...pointers.values()]) : 0;
  });
  stage.addEventListener("pointermove", event => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()], was = pointers.get(event.pointerId), now = at(event);
    pointers.set(event.pointerId, now);
    const after = [...pointers.values()];
    if (after.length === 2) {
      const from = middle(before), to = middle(after), wide = distance(after);
      act.pan(to[0] - from[0], to[1] - from[1]);
      if (apart > 0) act.zoom(wide / apart, ...to);
      apart = wide;
    } else if (act.set.window || event.buttons === 2 || event.shiftKey) windowed(now[0] - was[0], now[1] - was[1]);
    else act.pan(now[0] - was[0], now[1] - was[1]);
  });
  const released = event => pointers.delete(event.pointerId);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, released);
  stage.addEventListener("contextmenu", event => event.preventDefault());
  stage.addEventListener("dblclick", event => (act.fitted() ? act.zoomTo(Math.max(1, 2 * act.fitting()), ...at(event)) : act.fit()));
  stage.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60 * act.pixel();
    const moves = act.fitted() ? {} : { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const keys = { "+": () => act.zoom(VIEWER_ZOOMS.step), "=": () => act.zoom(VIEWER_ZOOMS.step), "-": () => act.zoom(1 / VIEWER_ZOOMS.step), 0: act.fit,
      1: () => act.zoomTo(1), z: act.peak, i: () => { act.set.invert = !act.set.invert; act.drawn(); } };
    if (moves[event.key]) act.pan(...moves[event.key]);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
