// The search of mdissect/concepts/search.py, whose docstring states the rule: the rules for word forms, and the concepts that
// have each word, come with the data. Beside concepts' words, those of results and layers and neurons' numbers are found.
const RULES = DATA.search.rules.map(([pattern, to]) => [new RegExp(pattern, "gu"), to.replace(/\\(\d)/g, "$$$1")]);
const SMALL = new Set(DATA.search.small);
const ARTICLES = new Set(DATA.search.articles);
const ABBREVIATIONS = new Map(Object.entries(DATA.search.abbreviations));
const HAVING = new Map(DATA.search.having); // concepts by the key of a word, or of two neighbours as one
const BEGINNING = new Map(DATA.search.beginning); // concepts by the words as written
const WRITTEN = new Map(DATA.search.written); // by the key of a word how it is written most often
const [MOST_MEANT, MOST_WORDS, LEAST_LETTERS, MOST_LETTERS] = [3, 8, 4, 40];
const EDITS = [[10, 3], [6, 2], [LEAST_LETTERS, 1]];

function plainWords(text) {
  const plain = text.normalize("NFKD").replace(/[\p{M}'’]/gu, "").toLowerCase().replace(/ß/g, "ss").replace(/ς/g, "σ");
  return plain.match(/[\p{L}\p{N}]+/gu) || [];
}

const keyOf = word => RULES.reduce((key, [pattern, to]) => key.replace(pattern, to), word) || word;
const wordOf = plain => ({ plain, keys: (ABBREVIATIONS.get(plain) || plain).split(" ").map(keyOf) });
const keysOf = words => words.flatMap(word => word.keys);

function content(words) {
  const kept = words.filter((word, i) => !SMALL.has(word.plain) && !(ARTICLES.has(word.plain) && i < words.length - 1));
  return kept.length ? kept : words;
}

// Layers by the key of a word of theirs or their model's.
const LAYERS_HAVING = new Map();
LAYERS.forEach((layer, i) => {
  for (const plain of new Set([...plainWords(layer.name), ...plainWords(MODELS[layer.m].name)])) {
    const key = keyOf(plain);
    LAYERS_HAVING.set(key, [...(LAYERS_HAVING.get(key) || []), i]);
    if (!WRITTEN.has(key)) WRITTEN.set(key, plain);
    if (!BEGINNING.has(plain)) BEGINNING.set(plain, []);
  }
});

const isKnown = keys => eachHaving(keys).every(one => one.concepts.size || one.layers.size);

function asked(query) {
  const words = [];
  for (const plain of plainWords(query)) {
    const whole = wordOf(plain);
    const parts = plain.match(/^(\p{L}+)(\p{Nd}+)$/u);
    if (parts && !isKnown(whole.keys)) words.push(wordOf(parts[1]), wordOf(parts[2]));
    else words.push(whole);
  }
  const seen = new Set();
  const said = words.filter(word => word.plain !== "neuron" || words.length === 1 || isKnown(word.keys)); // "neuron 180" is its number
  return content(said).filter(word => !seen.has(word.plain) && seen.add(word.plain));
}

// For each key the concepts and layers that have it, alone or as one word with a neighbour of it.
function eachHaving(keys) {
  const pairs = keys.slice(1).map((key, i) => HAVING.get(keys[i] + key) || []);
  return keys.map((key, i) => ({
    key,
    concepts: new Set([...(HAVING.get(key) || []), ...(pairs[i - 1] || []), ...(pairs[i] || [])]),
    layers: new Set(LAYERS_HAVING.get(key)),
  }));
}

// What a word being typed may be the beginning of.
function begun(plain) {
  const [concepts, layers] = [new Set(), new Set()];
  for (const [word, of] of BEGINNING) {
    if (!word.startsWith(plain)) continue;
    for (const c of of) concepts.add(c);
    for (const i of LAYERS_HAVING.get(keyOf(word)) || []) layers.add(i);
  }
  return { key: "", concepts, layers };
}

// Whether the label that is better than chance, which may be another than the one shown, is one of some concepts.
const isBetter = (g, concepts) => !blind && Boolean(N.calibrated) && N.calibrated[g] >= 0 && concepts.has(N.calibrated[g]);

function keeping(parts, better = false) {
  return g => parts.every(({ key, concepts, layers }) =>
    (N.label[g] >= 0 && concepts.has(N.label[g])) || (better && isBetter(g, concepts)) || layers.has(LAYER_OF[g]) || key === String(numberOf(g)));
}

// Which concepts have all words of a query, as `searched` finds neurons by them.
function conceptsFound(query) {
  const words = asked(query);
  if (!words.length) return () => !query.trim();
  const having = parts => c => parts.every(({ concepts }) => concepts.has(c));
  const whole = having(eachHaving(keysOf(words)));
  const last = words[words.length - 1].plain;
  if (C.name.some((_, c) => whole(c)) || /\s$/.test(query) || plainWords(query).pop() !== last) return whole;
  return having([...eachHaving(keysOf(words.slice(0, -1))), begun(last)]);
}

// Concepts that a search without hits may be about.
function conceptsOffered(query) {
  const keep = conceptsFound(query);
  return C.name.map((_, c) => c).filter(keep).sort((a, b) => C.name[a].length - C.name[b].length).slice(0, MOST_MEANT);
}

function any(keep) {
  for (let g = 0; g < SIZE; g++) if (keep(g)) return true;
  return false;
}

// Which neurons to keep, and what the query may have meant if no neuron is found.
function searched(query) {
  const words = asked(query);
  if (!words.length) return { keep: query.trim() ? () => false : () => true, meant: [] };
  const whole = keeping(eachHaving(keysOf(words)));
  if (any(whole)) return { keep: whole, meant: [] };
  const last = words[words.length - 1].plain;
  if (!/\s$/.test(query) && plainWords(query).pop() === last) {
    const started = keeping([...eachHaving(keysOf(words.slice(0, -1))), begun(last)]);
    if (any(started)) return { keep: started, meant: [] };
  }
  const better = keeping(eachHaving(keysOf(words)), true);
  return any(better) ? { keep: better, meant: [], better: true } : { keep: () => false, meant: meant(words) };
}

function meant(words) {
  if (words.length > MOST_WORDS) return [];
  const each = eachHaving(keysOf(words));
  const isNumber = word => /^\d+$/.test(word.plain);
  const unknown = words.filter(word => {
    const own = each.splice(0, word.keys.length);
    return !isNumber(word) && !own.every(one => one.concepts.size || one.layers.size);
  });
  const near = unknown.map(word => nearTo(word.plain));
  if (!near.length || !near.every(one => one.length)) return [];
  const texts = near[0].map(first => {
    const chosen = new Map(unknown.map((word, i) => [word, i ? near[i][0] : first]));
    return words.map(word => chosen.get(word) || word.plain).join(" ");
  });
  return [...new Set(texts)].filter(text => any(keeping(eachHaving(keysOf(asked(text))))));
}

// The words that one may be the beginning of, else those with the fewest letters wrong; those of most concepts first.
function nearTo(plain) {
  if (plain.length < LEAST_LETTERS || plain.length > MOST_LETTERS) return [];
  let found = [...new Set([...BEGINNING.keys()].filter(word => word.startsWith(plain)).map(keyOf))];
  if (!found.length) {
    const key = keyOf(plain);
    const most = (EDITS.find(([letters]) => key.length >= letters) || [0, 0])[1];
    let least = most;
    for (const one of WRITTEN.keys()) {
      if (Math.abs(one.length - key.length) > most || (most < 2 && one[0] !== key[0])) continue;
      const apart = edits(one, key);
      if (apart < least) found = [];
      if (apart <= least) found.push(one);
      least = Math.min(apart, least);
    }
  }
  const count = key => (HAVING.get(key) || []).length;
  return found.sort((a, b) => count(b) - count(a) || (a < b ? -1 : 1)).slice(0, MOST_MEANT).map(key => WRITTEN.get(key));
}

// Letters to change, add, leave out or exchange with the next one to make a word of another.
function edits(one, other) {
  let [earlier, before, row] = [[], [], Array.from({ length: other.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= one.length; i++) {
    [earlier, before, row] = [before, row, [i]];
    for (let j = 1; j <= other.length; j++) {
      row[j] = Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one[i - 1] !== other[j - 1]));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) row[j] = Math.min(row[j], earlier[j - 2] + 1);
    }
  }
  return row[other.length];
}

// Enter on the same words goes back to the first hit, in the table.
byId("search").addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  onSearch();
  if (shown.length) byId("scroll").focus();
  event.stopPropagation(); // the next Enter opens it
});
