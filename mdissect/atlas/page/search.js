// A search by whole words in any order; plural, hyphens, accents and British spelling do not count. A last word that no
// name has is read as the beginning of one.
const SPELLING = [[/our$/, "or"], [/oedema/, "edema"], [/haem/, "hem"], [/centre/, "center"], [/fibre/, "fiber"], [/grey/, "gray"]];

function stem(word) {
  let plain = word;
  if (plain.length > 3 && /ies$/.test(plain)) plain = plain.slice(0, -3) + "y";
  else if (plain.length > 4 && /(ss|x|ch|sh)es$/.test(plain)) plain = plain.slice(0, -2);
  else if (plain.length > 3 && /[^suai]s$/.test(plain)) plain = plain.slice(0, -1);
  for (const [from, to] of SPELLING) plain = plain.replace(from, to);
  return plain;
}

function plainText(text) {
  return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
}

function wordsOf(text) {
  const joined = plainText(text).replace(/([a-z])[-\u2010\u2011]([a-z])/g, "$1$2");
  return (joined.match(/[\p{L}\p{N}.]+/gu) || []).map(word => stem(word.replace(/^\.+|\.+$/g, ""))).filter(Boolean);
}

// Words of a name, with the parts of hyphenated ones too.
function indexed(text) {
  return new Set([...wordsOf(text), ...wordsOf(text.replace(/[-\u2010\u2011/_]/g, " "))]);
}

const CONCEPT_WORDS = C.name.map((name, c) => indexed(`${name} ${C.category[c]} ${C.broad[c]} ${C.needs[c]}`));
const LAYER_WORDS = LAYERS.map(layer => new Set([...indexed(layer.name), layer.name.toLowerCase(), ...indexed(MODELS[layer.m].name)]));
const VOCABULARY = [...new Set([...CONCEPT_WORDS, ...LAYER_WORDS].flatMap(words => [...words]))];
const KNOWN = new Set(VOCABULARY);

// For each word of a query a test of sets of words; what was not understood.
function understood(query) {
  const words = wordsOf(query);
  const unknown = [];
  const tests = words.map((word, i) => {
    if (KNOWN.has(word) || /^\d+$/.test(word)) return set => set.has(word);
    const last = i === words.length - 1;
    const longer = last ? VOCABULARY.filter(one => one.startsWith(word)) : [];
    if (longer.length) return set => longer.some(one => set.has(one));
    unknown.push(word);
    return () => false;
  });
  return { words, tests, unknown };
}

function searched(query) {
  const { words, tests, unknown } = understood(query);
  if (!words.length) return { keep: query.trim() ? () => false : () => true, hint: null };
  const ofConcept = tests.map(test => CONCEPT_WORDS.map(test));
  const ofLayer = tests.map(test => LAYER_WORDS.map(test));
  const keep = g => tests.every((_, t) => (N.label[g] >= 0 && ofConcept[t][N.label[g]]) || ofLayer[t][LAYER_OF[g]]
    || words[t] === String(numberOf(g)));
  return { keep, hint: unknown.length ? nearest(query, unknown) : null };
}

// The query with unknown words replaced by the nearest known ones; "" where none is near.
function nearest(query, unknown) {
  let better = query;
  for (const word of unknown) {
    const most = word.length < 5 ? 1 : 2;
    let [best, distance] = ["", most + 1];
    for (const one of VOCABULARY) {
      if (Math.abs(one.length - word.length) >= distance) continue;
      const d = edits(one, word);
      if (d < distance) [best, distance] = [one, d];
    }
    if (!best) return "";
    better = wordsOf(better).map(part => (part === word ? best : part)).join(" ");
  }
  return better;
}

function edits(a, b) {
  let before = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] !== b[j - 1]));
    }
    before = row;
  }
  return before[b.length];
}
