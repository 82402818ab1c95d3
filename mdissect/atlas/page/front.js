// What was dissected, and how to read it.
const SUMMED = ["predicts", "clarity"].filter(name => name in N.attached);

// The median of an attached column over a layer's neurons.
function middle(name, layer) {
  const known = N.attached[name].slice(layer.start, layer.start + layer.n).filter(value => typeof value === "number").sort((a, b) => a - b);
  return known.length ? fixed((known[Math.floor((known.length - 1) / 2)] + known[Math.ceil((known.length - 1) / 2)]) / 2) : "";
}

function buildFront() {
  const names = { target: "network", dissector: "image-text model", probe: "images", n_images: "number of images", n_concepts: "concepts", similarity: "similarity", top_k: "top images per neuron", pool: "pooling", mdissect: "mdissect" };
  const keys = Object.keys(names).filter(key => MODELS.some(model => model.settings[key]));
  const table = (heads, rows, label) => el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, el("table", {},
    el("thead", {}, el("tr", {}, heads.map(name => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map(cells => el("tr", {}, cells.map(one => el("td", {}, one)))))));
  const settings = MODELS.map(model => [model.name, ...keys.map(key => model.settings[key] || ""), model.patients === null ? "" : String(model.patients)]);
  const layers = LAYERS.map(layer => {
    let [labelled, counts, sure] = [0, 0, 0];
    for (let g = layer.start; g < layer.start + layer.n; g++) {
      labelled += N.label[g] >= 0;
      counts += N.passes[g];
      sure += Boolean(N.q && N.q[g] !== null && N.q[g] <= SURE);
    }
    const row = [MODELS[layer.m].name, layer.name, layer.n, labelled, fixed(layer.threshold), counts, `${Math.round((100 * counts) / layer.n)} %`];
    return [...row, ...(N.q ? [sure] : []), ...SUMMED.map(name => middle(name, layer))];
  });
  const share = layers.reduce((sum, row) => sum + row[5], 0);
  const short = [MODELS.map(model => `${model.settings.target || model.name}`).join(", "), `${SIZE.toLocaleString("en")} neurons`,
    `${share.toLocaleString("en")} labels ${MODELS.every(model => model.calibrated) ? "better than chance" : "strong enough to count"} (${Math.round((100 * share) / SIZE)} %)`];
  if (N.q) short.push(`${layers.reduce((sum, row) => sum + row[7], 0).toLocaleString("en")} with q at most ${SURE}`);
  byId("short").textContent = short.join(" · ");
  const pictured = IMAGES.picture.filter(at => at >= 0).length;
  const said = [
    "Each neuron of a network is labelled with the concept that its strongest images match best. A label is the best of many candidates, not a proof: look at the images.",
    MODELS.every(model => model.calibrated) ? "Only labels that are better than chance are shown as labels." : "A label counts where its similarity reaches the layer’s threshold; the others are weak matches, in italics. The threshold is a mean, so about half of the labels reach it.",
    N.q ? "q compares a neuron with random rankings of the same images. A small q says that the neuron follows something the image-text model sees, not that the word is right." : "These results were not compared with chance (no q).",
    N.stability ? "Stability is how often a label, or one like it, returns when the patients are resampled." : "",
    "predicts" in N.attached ? "“Predicts unseen patients” is the correlation of a neuron with its label on patients that the label was not chosen on; the image-text model grades itself there." : "",
    DATA.study.blind ? "This is a blind reading: a label is shown when the reader has saved own words on the neuron; then it is judged." : "",
    DATA.study.neurons ? `A reader study of ${STUDY.length.toLocaleString("en")} of these neurons; each reader sees them in an order of their own.` : "",
    !pictured ? "There are no pictures." : pictured === IMAGES.id.length ? `All ${pictured.toLocaleString("en")} images have a picture.`
      : `${pictured.toLocaleString("en")} of ${IMAGES.id.length.toLocaleString("en")} images have a picture; of the others the atlas has the names alone.`,
  ];
  byId("how").textContent = DATA.study.blind ? "" : "Each row is a neuron of a network, with the concept that its strongest images match best. Open one, look at its images, and judge the label.";
  byId("front").replaceChildren(...said.filter(Boolean).map(line => el("p", {}, line)), ...DATA.remarks.map(line => el("p", {}, line)),
    table(["result", ...keys.map(key => names[key]), "patients"], settings, "What was dissected"),
    table(["result", "layer", "neurons", "labelled", "threshold", "labels that count", "share", ...(N.q ? [`q at most ${SURE}`] : []), ...SUMMED.map(name => `${name} (median)`)], layers.map(row => row.map(String)), "Layers"),
    el("h3", {}, "What the numbers mean"), el("dl", {}, [...Object.entries(DATA.terms), ...Object.entries(DATA.meant).map(([name, meaning]) => [`verdict “${name}”`, meaning])].flatMap(([name, meaning]) => [el("dt", {}, name), el("dd", {}, meaning)])),
    ...MODELS.flatMap(model => model.notes.map(note => el("p", { class: "soft" }, `${model.name}: ${note}`))));
}
