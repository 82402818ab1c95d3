// The page of a neuron.
const AT_FIRST = 8; // images
const TIED = 0.05; // similarities that differ by less do not tell two concepts apart

function trustLine(g) {
  const model = modelOf(g);
  const parts = [];
  const tau = layerOf(g).threshold;
  if (N.similarity[g] !== null) {
    const side = N.similarity[g] >= tau ? "above" : "below";
    parts.push([term("similarity"), ` ${fixed(N.similarity[g])}`, ...(tau === null ? [] : [` (${side} the layer's `, term("threshold"), ` ${fixed(tau)})`])]);
  }
  const other = N.calibrated && N.calibrated[g] !== null && N.calibrated[g] !== N.label[g] ? N.calibrated[g] : null;
  const chances = [];
  const known = (values, show) => (values && values[g] !== null && values[g] !== undefined ? show(values[g]) : null);
  chances.push(known(N.q, q => [term("q"), ` ${small(q)}${other === null ? ` (${q <= SURE ? "better" : "not better"} than chance)` : ""}`]));
  chances.push(known(N.p, p => [term("p"), ` ${small(p)}`]), known(N.p_label, p => [term("p of the label"), ` ${small(p)}`]));
  chances.push(known(N.stability, share => [term("stability"), ` ${fixed(share)}`]));
  if (other === null) parts.push(...chances);
  for (const name of ATTACHED) if (attachedOf(name, g)) parts.push([term(spelt(name)), name === "predicts" ? ": r " : " ", attachedOf(name, g)]);
  if (N.label[g] >= 0) parts.push(model.calibrated ? `rule ${model.rule}, compared with chance` : `rule ${model.rule}, highest similarity`);
  const inLine = some => some.filter(Boolean).flatMap((part, k) => [k ? " · " : "", part].flat());
  const lines = [inLine(parts)];
  if (needsOf(g)) lines.push(`One mammogram cannot show this label: it needs ${needsOf(g)}.`);
  if (N.flag && N.flag[g]) lines.push(`Flag: ${N.flag[g]}`);
  if (N.note[g]) lines.push(`Note: ${N.note[g]}`);
  if (!N.passes[g] && N.label[g] >= 0 && !model.calibrated) lines.push("A weak match: this label is below the layer’s threshold.");
  const [first, ...rest] = N.concepts[g];
  const tied = first ? rest.filter(([, value]) => value > first[1] - TIED) : [];
  if (tied.length) lines.push(["Nearly as similar: ", ...tied.flatMap(([c, value], k) => [k ? ", " : "", conceptNode(c), ` ${fixed(value)}`])]);
  if (other !== null) {
    const numbers = inLine(chances);
    const by = [" (calibrated rule", ...(numbers.length ? [": ", ...numbers] : []), "); the label above is that of the highest similarity."];
    lines.push(other < 0 ? ["Which to trust: no label is better than chance", ...by] : ["Which to trust: better than chance is ", conceptNode(other), ...by]);
  }
  return lines.filter(line => line.length).map(line => el("p", {}, line));
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

function shared(g) {
  const rows = N.facts[g];
  if (!N.bins[g].length) return el("p", { class: "soft" }, "Not known.");
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
  const heading = el("h3", { id: "which", role: "status" });
  const pictures = el("div", {});
  const spread = el("div", { class: "spread" });
  const maps = mapsOf(g);
  let bin = null;
  function draw() {
    const { title, list: every, why } = chosenImages(g, bin, maps);
    const list = view.each ? oneOfEach(every) : every;
    const some = view.all ? list : list.slice(0, AT_FIRST);
    heading.textContent = list.length < every.length ? `${title}: ${list.length}, one of each patient, of ${every.length}` : title;
    const all = el("button", { type: "button", "aria-pressed": String(view.all), on: { click: () => { view.all = !view.all; draw(); } } },
      view.all ? `show ${AT_FIRST}` : `show all ${list.length}`);
    pictures.replaceChildren(...[el("div", { class: "tiles", style: { "--tile": `${view.tile}px` } }, some.map((_, k) => tile(list, k))),
      why ? el("p", { class: "soft" }, why) : "", bin === null && kindNow(g) === "strongest" ? [ofPatients(g, every), showing(g, every.length)] : "",
      maps && list.some(one => one.rank < 0 || one.rank >= maps.n) ? el("p", { class: "soft" }, `Only the ${maps.n} strongest images have an activation map.`) : "", list.length > AT_FIRST ? el("p", {}, all) : "",
      bin === null ? "" : el("p", {}, el("button", { type: "button", on: { click: () => choose(null) } }, "back to the strongest images"))].flat());
    drawSpread(spread, g, bin, bin === null && kindNow(g) === "strongest" ? some.map(one => one.value) : [], choose);
  }
  function choose(next) {
    bin = next;
    if (bin === null) view.kind = 0;
    draw();
    const box = byId("view-kind");
    if (box) box.value = bin === null ? view.kind : OF_A_BAR;
    heading.scrollIntoView({ block: "nearest" });
  }
  draw();
  const top = N.concepts[g];
  const order = at < 0 ? "" : `${at + 1} of ${shown.length} in the table`;
  const hide = covered(g);
  return {
    title: `${nameOf(g)}: ${shownLabel(g)}`,
    parts: [
      el("div", { class: "nav" }, el("a", { href: listLink() }, "back to all neurons"), step(-1, "previous"), step(1, "next"), blind ? "" : listButton(g), el("span", { class: "soft" }, order)),
      el("h2", { tabindex: "-1" }, `${nameOf(g)}: `, hide ? HIDDEN : conceptNode(N.label[g])),
      ...(hide ? [] : trustLine(g)),
      verdictPanel(g),
      heading, imageControls(draw, maps, kindControl(g, () => { bin = null; draw(); })), pictures,
      el("div", { class: "columns" },
        hide ? "" : el("section", { "aria-label": "Concepts" }, el("h3", {}, "Most similar concepts"),
          top.length ? bars(top, layerOf(g).threshold, conceptNode) : el("p", {}, "This neuron cannot be labelled."),
          el("p", { class: "soft" }, "Dashed: the layer's threshold."), el("h3", {}, "What its top images share"), shared(g)),
        el("section", { "aria-label": "Activations" }, el("h3", {}, "Activations over all images"), spread, ...(hide ? [] : [...relatives(g), ...classWeights(g)]))),
    ],
  };
}
