// The map: a point for each neuron; neighbours have similar concepts. Those that the filters leave out are faint.
const MAP_SIZE = 620;
const NEAR = 12;
const MAP_SAYS = "A point is a neuron, in the colour of its label’s category; near points have similar concepts. Click one to open it.";

function buildMap() {
  if (!N.places.some(Boolean)) {
    byId("show-map").hidden = true;
    return;
  }
  const canvas = el("canvas", { width: MAP_SIZE, height: MAP_SIZE, role: "img", id: "points",
    "aria-label": "Map of the neurons by their concepts; the table lists the same neurons" });
  const under = el("p", { class: "soft", role: "status" }, MAP_SAYS);
  const groups = Object.entries(DATA.groups).map(([name, colour]) =>
    el("li", {}, el("span", { class: "swatch", style: { background: colour }, "aria-hidden": "true" }), name));
  byId("map").append(canvas, under, el("ul", { class: "legend" }, groups));
  canvas.addEventListener("mousemove", event => {
    const g = neuronNear(canvas, event);
    under.textContent = g < 0 ? MAP_SAYS : `${nameOf(g)}: ${shownLabel(g)}`;
  });
  canvas.addEventListener("mouseleave", () => { under.textContent = MAP_SAYS; });
  canvas.addEventListener("click", event => {
    const g = neuronNear(canvas, event);
    if (g >= 0) location.hash = linkOf(g);
  });
}

const onMap = g => N.places[g].map(value => 10 + (value / 1000) * (MAP_SIZE - 20));

function neuronNear(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * MAP_SIZE;
  const y = ((event.clientY - box.top) / box.height) * MAP_SIZE;
  let [best, distance] = [-1, NEAR * NEAR];
  for (const g of shown) {
    if (!N.places[g]) continue;
    const [px, py] = onMap(g);
    const d = (px - x) ** 2 + (py - y) ** 2;
    if (d < distance) [best, distance] = [g, d];
  }
  return best;
}

function drawMap() {
  if (state.pane !== "map") return;
  const ink = byId("points").getContext("2d");
  const inside = new Set(shown);
  ink.clearRect(0, 0, MAP_SIZE, MAP_SIZE);
  const faint = N.places.keys();
  for (const pass of [false, true]) {
    for (const g of pass ? shown : faint) {
      if (!N.places[g] || inside.has(g) !== pass) continue;
      const [x, y] = onMap(g);
      ink.globalAlpha = pass ? 0.9 : 0.12;
      ink.fillStyle = DATA.groups[broadOf(N.label[g])] || "#888888";
      ink.beginPath();
      ink.arc(x, y, pass && inside.size < 50 ? 5 : 3, 0, 2 * Math.PI);
      ink.fill();
    }
  }
  ink.globalAlpha = 1;
}
