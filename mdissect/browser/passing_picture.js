// A picture that comes as a message, and so is in no saved state of the notebook.
function render({ model, el }) {
  const image = document.createElement("img");
  image.style.cssText = "display:block;max-width:100%;height:auto";
  let address = "";

  function drop() {
    if (address) URL.revokeObjectURL(address);
    address = "";
  }

  function take(message, buffers) {
    drop();
    image.remove();
    if (!message.words) return;
    address = URL.createObjectURL(new Blob([buffers[0]], { type: "image/jpeg" }));
    image.src = address;
    image.alt = message.words;
    el.append(image);
  }

  model.on("msg:custom", take);
  model.send({ ready: true });
  return () => {
    model.off("msg:custom", take);
    drop();
  };
}

export default { render };
