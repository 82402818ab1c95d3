// The page of a concept: its neurons in every result.
function conceptPage(c) {
  const groups = MODELS.map((model, m) => ({ model, m, layers: LAYERS.filter(layer => layer.m === m) }));
  const carrying = (layer, counted) => {
    let n = 0;
    for (let g = layer.start; g < layer.start + layer.n; g++) n += N.label[g] === c && (!counted || N.passes[g]);
    return n;
  };
  const best = layer => C.neurons[c].filter(([g]) => g >= layer.start && g < layer.start + layer.n);
  const summary = el("table", {},
    el("thead", {}, el("tr", {}, ["result", "layer", "neurons with this label", "that count", "highest similarity", "threshold"].map(name => el("th", { scope: "col" }, name)))),
    el("tbody", {}, groups.flatMap(({ model, layers }) => layers.map(layer => el("tr", {}, el("td", {}, model.name), el("td", {}, layer.name),
      el("td", { class: "number" }, carrying(layer, false)), el("td", { class: "number" }, carrying(layer, true)),
      el("td", { class: "number" }, best(layer).length ? fixed(best(layer)[0][1]) : ""), el("td", { class: "number" }, fixed(layer.threshold)))))));
  const verdicts = groups.map(({ model, layers }) => {
    const n = layers.reduce((sum, layer) => sum + carrying(layer, true), 0);
    const chance = betterCounts()[c][groups.findIndex(group => group.model === model)];
    const others = chance ? `; the label better than chance of ${chance} further neuron${chance > 1 ? "s" : ""}` : "";
    if (n) return el("li", {}, `${model.name}: learned (label of ${n} neuron${n > 1 ? "s" : ""})${others}`);
    const near = layers.flatMap(layer => best(layer).filter(([, value]) => layer.threshold !== null && value >= layer.threshold)).sort((a, b) => b[1] - a[1])[0];
    if (!near) return el("li", {}, `${model.name}: missed as a label; no neuron’s similarity reaches the threshold${others}`);
    return el("li", {}, `${model.name}: missed as a label, though some neurons are similar enough, such as `, neuronNode(near[0], ` (similarity ${fixed(near[1])})`), others);
  });
  const lists = groups.flatMap(({ model, layers }) => {
    const own = layers.flatMap(layer => Array.from({ length: layer.n }, (_, k) => layer.start + k).filter(g => N.label[g] === c));
    own.sort((a, b) => N.passes[b] - N.passes[a] || N.similarity[b] - N.similarity[a]);
    const near = layers.flatMap(best).filter(([g]) => N.label[g] !== c).sort((a, b) => b[1] - a[1]).slice(0, AT_FIRST);
    const sure = N.calibrated ? layers.flatMap(layer => Array.from({ length: layer.n }, (_, k) => layer.start + k).filter(g => N.calibrated[g] === c && N.label[g] !== c)) : [];
    const chance = sure.length ? [el("h3", {}, `Neurons of ${model.name} for which it is better than chance, though another label is shown`),
      el("ul", { class: "plain" }, sure.slice(0, 3 * AT_FIRST).map(g => el("li", {}, neuronNode(g))))] : [];
    return [el("h3", {}, `Neurons of ${model.name} with this label`), own.length ? el("div", { class: "cards" }, own.slice(0, 3 * CARDS).map(card)) : el("p", { class: "soft" }, "none"),
      ...chance, el("h3", {}, `Nearest neurons of ${model.name} with another label`),
      el("ul", { class: "plain" }, near.map(([g, value]) => el("li", {}, neuronNode(g, `, similarity ${fixed(value)}`))))];
  });
  const images = C.images[c].map(i => ({ i }));
  const tiles = el("div", {});
  const draw = () => tiles.replaceChildren(el("div", { class: "tiles", style: { "--tile": `${view.tile}px` } }, images.map((_, k) => tile(images, k))));
  draw();
  const about = [C.category[c], C.broad[c]].filter(Boolean).join(" · ");
  return {
    title: C.name[c],
    parts: [
      el("div", { class: "nav" }, el("a", { href: listLink() }, "back to all neurons")),
      el("h2", { tabindex: "-1" }, swatch(c), C.name[c]),
      about ? el("p", { class: "soft" }, about) : "",
      C.needs[c] ? el("p", {}, `One mammogram cannot show it: it needs ${C.needs[c]}.`) : "",
      el("ul", { class: "plain" }, verdicts),
      el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Neurons by layer" }, summary),
      ...lists,
      ...(images.length ? [el("h3", {}, "Images that the dissector finds most similar"), imageControls(draw, null), tiles] : []),
    ],
  };
}
