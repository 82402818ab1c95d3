// A button that copies a text; where the browser refuses, it shows the text to copy by hand.
function render({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "jupyter-button widget-button";
  button.textContent = model.get("name");
  button.title = model.get("title");
  const told = Object.assign(document.createElement("span"), { className: "mdissect-copied" });
  told.setAttribute("role", "status");
  const box = Object.assign(document.createElement("textarea"), { readOnly: true, hidden: true, rows: 3 });
  box.setAttribute("aria-label", model.get("title"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("text"));
      box.hidden = true;
      told.textContent = "copied";
    } catch {
      box.value = model.get("text");
      box.hidden = false;
      box.select();
      told.textContent = "the browser does not allow copying; copy this text";
    }
  });
  model.on("change:text", () => { told.textContent = ""; box.hidden = true; });
  el.classList.add("mdissect-copy");
  el.append(button, told, box);
}

export default { render };
