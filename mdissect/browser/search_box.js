// A search box. Enter searches, also for the same words again: a core text widget does not report that together with its words.
function render({ model, el }) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  input.type = "text";
  el.classList.add("jupyter-widgets", "widget-inline-hbox", "widget-text", "mdissect-search");
  label.className = "mdissect-search-label";
  name.className = "widget-label";
  label.append(name, input);
  el.append(label);

  function show() {
    name.textContent = model.get("description");
    input.placeholder = model.get("placeholder");
    if (input.value !== model.get("value")) input.value = model.get("value");
  }

  function search(entered) {
    model.set("value", input.value);
    if (entered) model.set("entered", model.get("entered") + 1);
    model.save_changes();
  }

  input.addEventListener("change", () => search(false));
  input.addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.isComposing) search(true);
    if (event.key !== "Escape") event.stopPropagation(); // the notebook has keys of its own
  });
  model.on("change", show);
  show();
  return () => model.off("change", show);
}

export default { render };
