// The page of a neuron.
const AT_FIRST = 8; // images

function trustLine(g) {
  const model = modelOf(g);
  const parts = [];
  const tau = layerOf(g).threshold;
  if (N.similarity[g] !== null) {
    const side = N.similarity[g] >= tau ? "above" : "below";
    parts.push(`similarity ${fixed(N.similarity[g])}${tau === null ? "" : ` (${side} the layer's threshold ${fixed(tau)})`}`);
  }
  if (N.q && N.q[g] !== null) parts.push(`q ${small(N.q[g])} (${N.q[g] <= SURE ? "better than chance" : "not better than chance"})`);
  if (N.p && N.p[g] !== null) parts.push(`p ${small(N.p[g])}`);
  if (N.stability && N.stability[g] !== null) parts.push(`stability ${fixed(N.stability[g])}`);
  for (const [name, values] of Object.entries(N.attached)) {
    if (values[g] !== null) parts.push(`${name} ${typeof values[g] === "number" ? places(values[g]) : values[g]}`);
  }
  const lines = [parts.join(" · ")];
  if (needsOf(g)) lines.push(`One mammogram cannot show this label: it needs ${needsOf(g)}.`);
  if (N.flag && N.flag[g]) lines.push(`Flag: ${N.flag[g]}`);
  if (N.note[g]) lines.push(`Note: ${N.note[g]}`);
  if (!N.passes[g] && N.label[g] >= 0 && !model.calibrated) lines.push("This label is below the threshold: it does not count.");
  const other = N.calibrated ? N.calibrated[g] : null;
  if (other !== null && other !== N.label[g]) {
    lines.push(other < 0 ? "Compared with chance, no label is supported." : ["Compared with chance, the label is: ", conceptNode(other)]);
  }
  return lines.filter(Boolean).map(line => el("p", {}, line));
}

function bars(rows, tau, name) {
  const most = Math.max(...rows.map(row => row[1]), tau || 0, 1e-9);
  const width = value => `${Math.max(0, (100 * value) / most).toFixed(1)}%`;
  return el("div", { class: "bars" }, rows.flatMap(([one, value]) => [
    el("span", {}, name(one)),
    el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: "bar", style: { width: width(value), display: "block" } }),
      tau === null ? null : el("span", { class: "tau", style: { left: width(tau) } })),
    el("span", { class: "number" }, fixed(value)),
  ]));
}

function histogram(g) {
  if (!N.bins[g].length) return el("p", { class: "soft" }, "The activations are not known.");
  const [low, high, counts] = N.bins[g];
  const [W, H, left, base] = [440, 190, 46, 150];
  const most = Math.max(...counts);
  const x = value => left + ((value - low) / (high - low || 1)) * (W - left - 10);
  const step = (W - left - 10) / counts.length;
  const bins = counts.map((n, i) => svg("rect", { class: "bin", x: left + i * step, width: Math.max(step - 1, 1), y: base - (n / most) * 130, height: (n / most) * 130 }));
  const visible = N.activations[g].slice(0, view.all ? undefined : AT_FIRST);
  const marks = visible.map(value => svg("line", { class: "mark", x1: x(value), x2: x(value), y1: base + 2, y2: base + 12 }));
  const label = (content, at, y, anchor) => svg("text", { x: at, y, "text-anchor": anchor }, content);
  const texts = [label(places(low), left, base + 28, "start"), label(places(high), W - 10, base + 28, "end"), label("activation; marks: the images shown", W / 2, base + 28, "middle"),
    label(String(most), left - 6, 28, "end"), label("0", left - 6, base, "end")];
  return svg("svg", { class: "histogram", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label":
    `Activations from ${places(low)} to ${places(high)}; at most ${most} images in a bin` },
  svg("line", { class: "axis", x1: left, x2: W - 10, y1: base, y2: base }), ...bins, ...marks, ...texts);
}

function shared(g) {
  const rows = N.facts[g];
  if (!rows.length) return el("p", { class: "soft" }, "No fact of the images' table is more frequent among them than among all images.");
  return el("div", { class: "wide" }, el("table", {},
    el("thead", {}, el("tr", {}, ["fact", "top images", "all images"].map(name => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map(([fact, has, of, all]) =>
      el("tr", {}, el("td", {}, fact), el("td", {}, `${has} of ${of}`), el("td", {}, percent(all)))))));
}

function relatives(g) {
  const here = layerOf(g);
  const listed = rows => el("ul", { class: "plain" }, rows.map(([other, r]) => el("li", {}, neuronNode(other, r === null ? "" : ` (r ${fixed(r)})`))));
  const own = N.similar[g].filter(([other]) => layerOf(other).m === here.m);
  const others = N.similar[g].filter(([other]) => layerOf(other).m !== here.m);
  const same = LAYERS.filter(one => one.m !== here.m && one.depth === here.depth && one.n === here.n).map(one => [one.start + numberOf(g), null]);
  const section = (title, rows) => (rows.length ? [el("h3", {}, title), listed(rows)] : []);
  return [...section(SEVERAL ? "Similar neurons of this result (correlation of activations)" : "Similar neurons (correlation of activations)", own),
    ...section("Similar neurons of the other results", others), ...section("The same channel in the other results", same)];
}

function classWeights(g) {
  const rows = N.weights[g];
  if (!rows.length) return [];
  const { classes } = modelOf(g).head;
  return [el("h3", {}, "Weight in the class scores"), el("ul", { class: "plain" }, rows.map(([c, w]) => el("li", {}, `${classes[c]}: ${w > 0 ? "+" : ""}${places(w)}`)))];
}

function neuronPage(g) {
  const at = shown.indexOf(g);
  const step = (by, name) => {
    const other = at < 0 ? g + by : shown[at + by];
    const there = other !== undefined && other >= 0 && other < SIZE;
    return el("button", { type: "button", id: by < 0 ? "previous" : "next", disabled: !there, on: { click: () => { location.hash = linkOf(other); } } }, name);
  };
  const pictures = el("div", {});
  const spread = el("div", {});
  const maps = mapsOf(g);
  function draw() {
    const list = N.images[g].map((i, rank) => ({ i, value: N.activations[g][rank], maps, rank, unit: "activation", label: N.label[g] }));
    const some = view.all ? list : list.slice(0, AT_FIRST);
    const all = el("button", { type: "button", "aria-pressed": String(view.all), on: { click: () => { view.all = !view.all; draw(); } } },
      view.all ? `show ${AT_FIRST}` : `show all ${list.length}`);
    pictures.replaceChildren(el("div", { class: "tiles", style: { "--tile": `${view.tile}px` } }, some.map((_, k) => tile(list, k))),
      list.length > AT_FIRST ? el("p", {}, all) : "");
    spread.replaceChildren(histogram(g));
  }
  draw();
  const top = N.concepts[g];
  const order = at < 0 ? "" : `${at + 1} of ${shown.length} in the table`;
  const hide = covered(g);
  return {
    title: `${nameOf(g)}: ${shownLabel(g)}`,
    parts: [
      el("div", { class: "nav" }, el("a", { href: listLink() }, "back to all neurons"), step(-1, "previous"), step(1, "next"), el("span", { class: "soft" }, order)),
      el("h2", { tabindex: "-1" }, `${nameOf(g)}: `, hide ? HIDDEN : conceptNode(N.label[g])),
      ...(hide ? [] : trustLine(g)),
      verdictPanel(g),
      el("h3", {}, `Strongest images${N.images[g].length ? "" : ": not known"}`),
      imageControls(draw, maps), pictures,
      el("div", { class: "columns" },
        hide ? "" : el("section", { "aria-label": "Concepts" }, el("h3", {}, "Most similar concepts"),
          top.length ? bars(top, layerOf(g).threshold, conceptNode) : el("p", {}, "This neuron cannot be labelled."),
          el("p", { class: "soft" }, "Dashed: the layer's threshold."), el("h3", {}, "What its top images share"), shared(g)),
        el("section", { "aria-label": "Activations" }, el("h3", {}, "Activations over all images"), spread, ...(hide ? [] : [...relatives(g), ...classWeights(g)]))),
    ],
  };
}
