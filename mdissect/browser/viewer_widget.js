// The viewer as a widget of a notebook: pictures come from Python, settings go both ways.
const SETTINGS = ["overlay", "opacity", "contour", "boxes"];

function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function addressOf(view) {
  return URL.createObjectURL(new Blob([bytesOf(view)], { type: "image/png" }));
}

function mapOf(view, facts) {
  return view.byteLength && facts.width ? { ...facts, bytes: bytesOf(view) } : null;
}

function render({ model, el }) {
  const box = node("div", {});
  el.append(box);
  let address = "";
  const viewer = makeViewer(box, { onDetail: () => model.send({ kind: "detail" }) });
  function picture() {
    const png = model.get("picture");
    if (!png.byteLength) return;
    const before = address;
    address = addressOf(png);
    viewer.show({ ...model.get("facts"), address }).finally(() => before && URL.revokeObjectURL(before));
  }
  const over = () => viewer.over({ map: mapOf(model.get("heat"), model.get("heat_facts")), boxes: model.get("marked"),
    breast: mapOf(model.get("breast"), model.get("breast_facts")) });
  const settings = () => viewer.settings(Object.fromEntries(SETTINGS.map(name => [name, model.get(name)])));
  model.on("change:shown", () => { picture(); over(); settings(); });
  for (const name of SETTINGS) model.on(`change:${name}`, settings);
  picture();
  over();
  settings();
  return () => { viewer.close(); URL.revokeObjectURL(address); };
}

export default { render };
