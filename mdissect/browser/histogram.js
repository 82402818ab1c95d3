// The spread of a neuron's activations: bars of all images, or a line for each group, whose bins can be chosen.
const SPREAD = { width: 620, height: 200, left: 52, right: 12, top: 14, base: 150 };

function drawn(tag, given = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shortNumber(value) {
  return Number(value.toPrecision(3)).toString();
}

// `spread`: edges, groups {name, n, shares, colour, dash, auc}, marks, chosen [first, last edge] or []. `choose` gets such a pair.
function drawHistogram(root, spread, choose) {
  const { edges, groups, marks, chosen, split } = spread;
  if (!edges.length || !groups.length) return root.replaceChildren();
  const { width, height, left, right, top, base } = SPREAD;
  const [low, high] = [edges[0], edges.at(-1)], bins = edges.length - 1;
  const most = Math.max(...groups.flatMap(group => group.shares), 1e-9);
  const x = value => left + (high > low ? (value - low) / (high - low) : 0.5) * (width - left - right);
  const y = share => base - (share / most) * (base - top);
  const single = groups.length === 1;
  const parts = [];
  for (const [share, at] of [[0, base], [most / 2, (base + top) / 2], [most, top]]) {
    parts.push(drawn("line", { class: "mdh-grid", x1: left, x2: width - right, y1: at, y2: at }),
      drawn("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, `${shortNumber(100 * share)} %`));
  }
  for (const group of groups) {
    const steps = group.shares.map((share, i) => [[x(edges[i]), y(share)], [x(edges[i + 1]), y(share)]]).flat();
    const points = [[x(low), base], ...steps, [x(high), base]].map(point => point.map(value => value.toFixed(1)).join(",")).join(" ");
    parts.push(drawn("polyline", { points, class: single ? "mdh-bars" : "mdh-line", stroke: group.colour, "stroke-dasharray": group.dash, fill: single ? group.colour : "none" }));
  }
  if (chosen.length) parts.push(drawn("rect", { class: "mdh-chosen", x: x(chosen[0]), y: top, width: Math.max(x(chosen[1]) - x(chosen[0]), 2), height: base - top }));
  for (const value of marks) parts.push(drawn("line", { class: "mdh-mark", x1: x(value), x2: x(value), y1: base + 2, y2: base + 13 }));
  const shownBin = edges.slice(0, bins).findIndex((edge, i) => chosen.length && chosen[0] <= edge && edges[i + 1] <= chosen[1]);
  const buttons = edges.slice(0, bins).map((edge, i) => {
    const said = `${shortNumber(edge)} to ${shortNumber(edges[i + 1])}: ` + groups.map(group => `${shortNumber(100 * group.shares[i])} % of ${group.name}`).join(", ");
    const bin = drawn("rect", { class: "mdh-bin", x: x(edge), y: top, width: Math.max(x(edges[i + 1]) - x(edge), 1), height: base - top,
      role: "button", tabindex: i === Math.max(shownBin, 0) ? "0" : "-1", "aria-label": `Images of activation ${said}`, "aria-pressed": String(i === shownBin) }, drawn("title", {}, said));
    bin.addEventListener("click", () => choose(i === shownBin ? [] : [edge, edges[i + 1]]));
    bin.addEventListener("keydown", event => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: bins - 1 }[event.key];
      if (event.key === "Enter" || event.key === " ") choose(i === shownBin ? [] : [edge, edges[i + 1]]);
      else if (to === undefined) return;
      else if (buttons[to]) {
        bin.setAttribute("tabindex", "-1");
        buttons[to].setAttribute("tabindex", "0");
        buttons[to].focus();
      }
      event.preventDefault();
      event.stopPropagation();
    });
    return bin;
  });
  const words = [[low, left, "start"], [(low + high) / 2, (left + width - right) / 2, "middle"], [high, width - right, "end"]];
  parts.push(drawn("line", { class: "mdh-axis", x1: left, x2: width - right, y1: base, y2: base }),
    ...words.map(([value, at, anchor]) => drawn("text", { x: at, y: base + 27, "text-anchor": anchor }, shortNumber(value))),
    drawn("text", { x: (left + width - right) / 2, y: base + 44, "text-anchor": "middle" }, marks.length ? "activation; marks: the images shown" : "activation"));
  const focused = root.contains(document.activeElement);
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "data-lm-suppress-shortcuts": "true",
    "aria-label": `Activations of the images, from ${shortNumber(low)} to ${shortNumber(high)}: choose a range to see its images` }, ...parts, ...buttons);
  const rows = groups.map(group => {
    const row = document.createElement("tr");
    const key = drawn("svg", { width: 34, height: 8, "aria-hidden": "true" }, drawn("line", { x1: 0, y1: 4, x2: 34, y2: 4, stroke: group.colour, "stroke-width": single ? 8 : 2, "stroke-dasharray": group.dash }));
    const cells = [group.name, `${group.n} images`, ...(group.auc === null ? [] : [`AUC ${group.auc.toFixed(2)}`])];
    row.append(document.createElement("td"), ...cells.map(text => Object.assign(document.createElement("td"), { textContent: text })));
    row.firstChild.append(key);
    return row;
  });
  const table = document.createElement("table");
  table.append(...rows);
  const note = Object.assign(document.createElement("div"), { className: "mdh-note",
    textContent: single ? "Share of the images. Click a bar to see its images." : `${split}: share of each group’s images; AUC: these against all others. Click a bin to see its images.` });
  const beside = document.createElement("div");
  beside.append(note, table);
  root.classList.add("mdh");
  root.replaceChildren(picture, beside);
  if (focused) buttons[Math.max(shownBin, 0)].focus();
}
