// The histogram as a widget of a notebook: a chosen bin goes back to Python.
function render({ model, el }) {
  const box = document.createElement("div");
  el.append(box);
  const choose = pair => {
    model.set("chosen", pair);
    model.save_changes();
  };
  const draw = () => drawHistogram(box, { ...model.get("spread"), chosen: model.get("chosen"), marks: model.get("marks") }, choose);
  model.on("change:spread change:marks change:chosen", draw);
  draw();
}

export default { render };
