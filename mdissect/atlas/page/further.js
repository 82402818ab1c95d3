// Which of a neuron's images are shown: its strongest, those of another kind, or those of a bin of its histogram.
const KIND_NAMES = {
  strongest: "strongest", quantiles: "evenly over the range", weakest: "weakest",
  "hard negatives": "strong, without the label’s concept", misses: "weak, with the label’s concept",
};
const KINDS = ["strongest", ...(DATA.further ? DATA.further.kinds : [])];
const OF_A_BAR = -1;
const OF_LABEL = ["hard negatives", "misses"];

// The further images of a neuron: rows [image, activation] of each kind and each bin; null where they are not known.
function furtherOf(g) {
  const row = DATA.further && rowOf("further", g);
  if (!row) return null;
  const [counts, ...packed] = row;
  const [numbers, values] = packed.map((text, k) => new [Uint32Array, Float32Array][k](Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer));
  let at = 0;
  const parts = Array.from(counts, n => (n === "?" ? null : Array.from({ length: Number(n) }, () => [numbers[at], values[at++]])));
  const kinds = DATA.further.kinds.length;
  return { kinds: Object.fromEntries(DATA.further.kinds.map((name, k) => [name, parts[k]])), bins: parts.slice(kinds) };
}

// An image of a neuron for the gallery: its activation and map, where they are known.
function imageOf(g, i, value, maps) {
  return { i, value, maps, rank: N.images[g].indexOf(i), unit: "activation", label: N.label[g], g };
}

// The activation of a neuron in an image; undefined: the atlas does not have it.
function activationIn(g, i) {
  const rank = N.images[g].indexOf(i);
  if (rank >= 0) return N.activations[g][rank];
  const { kinds, bins } = furtherOf(g) || { kinds: {}, bins: [] };
  const found = [...Object.values(kinds), ...bins].flatMap(rows => rows || []).find(row => row[0] === i);
  return found && found[1];
}

const kindNow = g => (covered(g) && OF_LABEL.includes(KINDS[view.kind]) ? "strongest" : KINDS[view.kind] || "strongest");

// A neuron's images of the chosen kind, or of a bin (null: of none), what they are, and why there are none.
function chosenImages(g, bin, maps) {
  if (bin !== null) {
    const [low, high, counts] = N.bins[g];
    const width = (high - low) / counts.length;
    const rows = (furtherOf(g) || { bins: [] }).bins[bin] || [];
    const of = rows.length < counts[bin] ? `${rows.length} of ${counts[bin]} images, evenly among them` : counts[bin] === 1 ? "the image" : `the ${counts[bin]} images`;
    const title = `Activation ${places(low + bin * width)} to ${places(low + (bin + 1) * width)}: ${counts[bin] ? of : "no image"}`;
    return { title, list: rows.map(([i, value]) => imageOf(g, i, value, maps)), why: "" };
  }
  const kind = kindNow(g);
  if (kind === "strongest") {
    const list = N.images[g].map((i, rank) => imageOf(g, i, N.activations[g][rank], maps));
    return { title: `Strongest images${list.length ? "" : ": not known"}`, list, why: "" };
  }
  const rows = (furtherOf(g) || { kinds: {} }).kinds[kind];
  const title = `Images: ${KIND_NAMES[kind]}`;
  if (rows) return { title, list: rows.map(([i, value]) => imageOf(g, i, value, maps)), why: rows.length ? "" : "There is none." };
  const label = labelOf(g) ? `Which images show “${labelOf(g)}” is not known.` : "This neuron has no label.";
  return { title, list: [], why: N.bins[g].length && OF_LABEL.includes(kind) ? label : "Not known: only the strongest images were kept." };
}

function kindControl(g, redraw) {
  if (KINDS.length < 2) return null;
  const names = KINDS.filter(kind => !(covered(g) && OF_LABEL.includes(kind)));
  const box = el("select", { id: "view-kind", on: { change: () => { view.kind = Number(box.value); redraw(); } } },
    names.map(kind => el("option", { value: KINDS.indexOf(kind) }, KIND_NAMES[kind])),
    el("option", { value: OF_A_BAR, hidden: true, disabled: true }, "of a bar of the histogram"));
  box.value = KINDS.indexOf(kindNow(g));
  return el("span", {}, el("label", { for: "view-kind" }, "images"), " ", box);
}

// Of images in their order, the first of each patient.
function oneOfEach(list) {
  const seen = new Set();
  return list.filter(({ i }) => IMAGES.patient[i] < 0 || (!seen.has(IMAGES.patient[i]) && seen.add(IMAGES.patient[i])));
}

// Whether an image of a neuron's strongest shows its label: true, false, or undefined where that is not known.
function showsLabel(g, rank) {
  const letter = g === undefined || rank < 0 || covered(g) || !N.shows[g] ? "?" : N.shows[g][0][rank];
  return { 0: false, 1: true }[letter];
}

// Of how many patients a neuron's strongest images are.
function ofPatients(g, list) {
  if (modelOf(g).patients === null || list.length < 2) return "";
  const patients = new Set(list.map(({ i }) => (IMAGES.patient[i] < 0 ? `image ${i}` : IMAGES.patient[i])));
  return el("p", { class: "soft" }, `These ${list.length} images are of ${patients.size} patient${patients.size === 1 ? "" : "s"}.`);
}

// How many of a neuron's strongest images show its label.
function showing(g, n) {
  if (covered(g) || !N.shows[g]) return "";
  const [letters, share] = N.shows[g];
  const known = [...letters].slice(0, n).filter(letter => letter !== "?");
  if (!known.length) return "";
  const does = known.filter(letter => letter === "1").length;
  return el("p", {}, `${does} of ${known.length} show “${labelOf(g)}”, by the images' table; so do ${percent(share)} of all images.`);
}

// The spread of a neuron's activations; a bin that is chosen shows its images. `marks` are the activations of those shown.
function drawSpread(root, g, bin, marks, choose) {
  if (!N.bins[g].length) return root.replaceChildren(el("p", { class: "soft" }, N.images[g].length ? "Only the activations of the strongest images were kept." : "The activations are not known."));
  const [low, high, counts] = N.bins[g];
  const all = counts.reduce((sum, n) => sum + n, 0);
  const one = !(high > low);
  const edges = one ? [low, high] : Array.from({ length: counts.length + 1 }, (_, k) => low + (k * (high - low)) / counts.length);
  const shares = one ? [1] : counts.map(n => n / all);
  const group = { name: "all images", n: all, shares, colour: "var(--bar)", dash: "", auc: null };
  const chosen = bin === null ? [] : one ? edges : [edges[bin], edges[bin + 1]];
  drawHistogram(root, { edges, groups: [group], marks, chosen, split: "" },
    pair => choose(pair.length ? Math.max(edges.indexOf(pair[0]), 0) : null));
  if (!DATA.further) for (const part of root.querySelectorAll(".mdh-bin, .mdh-note")) part.remove();
}

// The other pictures of an image's patient, the same side first.
const ofPatient = new Map();
IMAGES.patient.forEach((patient, i) => {
  if (patient >= 0 && IMAGES.picture[i] >= 0) ofPatient.set(patient, [...(ofPatient.get(patient) || []), i]);
});
const MOST_VIEWS = 6;

function otherViews(i) {
  const others = (ofPatient.get(IMAGES.patient[i]) || []).filter(other => other !== i);
  return others.sort((a, b) => (IMAGES.side[a] !== IMAGES.side[i]) - (IMAGES.side[b] !== IMAGES.side[i]) || a - b).slice(0, MOST_VIEWS);
}
