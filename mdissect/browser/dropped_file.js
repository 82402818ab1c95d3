// A place to drop a file on: its bytes go to Python in one message, and are kept nowhere.
function render({ model, el }) {
  const place = document.createElement("div");
  place.className = "mdissect-drop";
  const over = on => place.classList.toggle("mdissect-drop-over", on && !model.get("disabled"));
  const draw = () => {
    place.textContent = model.get("words");
    place.hidden = model.get("disabled");
  };
  place.addEventListener("dragover", event => {
    event.preventDefault(); // else the browser would leave the page for the file
    over(true);
  });
  place.addEventListener("dragleave", () => over(false));
  place.addEventListener("drop", async event => {
    event.preventDefault();
    event.stopPropagation();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file && !model.get("disabled")) model.send({ name: file.name }, undefined, [await file.arrayBuffer()]);
  });
  model.on("change:words change:disabled", draw);
  draw();
  el.append(place);
}

export default { render };
