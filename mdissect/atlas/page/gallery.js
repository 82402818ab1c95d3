// The gallery beside the table: a card for each neuron in view of the filters, a page at a time.
const CARDS = 24;
const ON_CARD = 4;
let cards = CARDS;

function card(g) {
  const images = N.images[g].slice(0, ON_CARD);
  const alt = k => (k ? "" : `Strongest images of ${nameOf(g)}`);
  return el("a", { class: "card", href: linkOf(g) },
    images.length ? el("span", { class: "four" }, images.map((i, k) => thumbnail(i, alt(k)))) : null,
    el("span", { class: N.passes[g] || N.label[g] < 0 ? "" : "below" }, N.label[g] < 0 ? "no label" : [swatch(N.label[g]), labelOf(g)]),
    el("br"), el("span", { class: "soft" }, `${nameOf(g)}, ${fixed(N.similarity[g])}`, verdictOf(g).verdict ? ` · ${verdictOf(g).verdict}` : ""));
}

function drawGallery() {
  if (state.pane === "map" || state.pane === "concepts") return;
  const more = shown.length - cards;
  byId("gallery").replaceChildren(
    el("div", { class: "cards" }, shown.slice(0, cards).map(card)),
    more > 0 ? el("p", {}, el("button", { type: "button", on: { click: () => { cards += CARDS; drawGallery(); } } },
      `show ${Math.min(more, CARDS)} more of ${more.toLocaleString("en")}`)) : "",
    shown.length ? "" : el("p", {}, "No neuron fits the filters."));
}
