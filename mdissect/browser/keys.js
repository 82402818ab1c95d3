// Keys, focus and names for screen readers in an explorer; invisible itself.
const TYPED = "input:not([type=checkbox]):not([type=radio]):not([type=file]), textarea, select, [contenteditable=true]";
const OWN_KEYS = `${TYPED}, [role=slider], [role=grid], [role=tablist], .mdissect-own-keys`; // they use the arrows themselves
const visible = node => Boolean(node && node.getClientRects().length);
const first = (root, selector) => [...root.querySelectorAll(selector)].find(visible);
const textOf = node => (node ? node.innerText.replace(/\s+/g, " ").trim() : "");

function put(node, name, value) {
  if (value && node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function widgetLabel(node) {
  const widget = node.closest(".jupyter-widgets");
  return textOf(widget && widget.querySelector(".widget-label")) || node.title || (widget && widget.title) || node.placeholder || (node.type === "number" ? "number" : "");
}

function nameAll(root) {
  for (const node of root.querySelectorAll("button")) if (!textOf(node)) put(node, "aria-label", node.title || widgetLabel(node));
  for (const node of root.querySelectorAll("[role=slider]:not([aria-labelledby])")) put(node, "aria-label", widgetLabel(node) || "value");
  for (const node of root.querySelectorAll("input, select, textarea")) {
    if (node.type !== "hidden" && !(node.labels && [...node.labels].some(label => textOf(label)))) put(node, "aria-label", widgetLabel(node));
  }
  for (const frame of root.querySelectorAll(".mdissect-frame")) {
    const large = frame.closest(".mdissect-large");
    const words = textOf(large ? large.querySelector(".mdissect-large-name") : frame.parentElement.querySelector(".mdissect-caption"));
    for (const image of frame.querySelectorAll("img")) put(image, "alt", words || "no image");
  }
  for (const node of root.querySelectorAll(".mdissect-live")) put(node, "aria-live", "polite");
}

function render({ model, el }) {
  let root, observer, waiting = false, inside = false, large = "", detail = false, left = null, last = null;
  const own = node => node.closest(".mdissect-view") === root;
  const cleanups = [];
  function listen(target, event, act, capture = false) {
    target.addEventListener(event, act, capture);
    cleanups.push(() => target.removeEventListener(event, act, capture));
  }

  function look() {
    waiting = false;
    if (!el.isConnected) return;
    nameAll(root);
    const shown = [...root.querySelectorAll(".mdissect-large")].find(node => own(node) && visible(node));
    const name = shown ? textOf(shown.querySelector(".mdissect-large-name b")) || "image" : "";
    if (inside && name && !large) focusOn(first(shown, ".mdissect-close"));
    if (inside && !name && large) {
      const tiles = [...root.querySelectorAll(".mdissect-enlarge")].filter(node => own(node) && visible(node));
      focusOn(tiles.find(node => node.title === `enlarge ${large}`) || tiles[0]);
    }
    large = name;
    const now = visible([...root.querySelectorAll(".mdissect-back")].find(own));
    if (inside && now && !detail) focusOn(first(root, ".mdissect-back"));
    if (inside && !now && detail && left && visible(left)) focusOn(left);
    detail = now;
    if (inside && last && document.activeElement === document.body && !visible(last)) focusOn(after(last));
  }

  // What can have the focus after a node that has gone, in the nearest part that is still in view.
  function after(gone) {
    let part = gone.parentElement;
    while (part && part !== root && !visible(part)) part = part.parentElement;
    const follows = node => gone.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING;
    return part && [...part.querySelectorAll("button, input, select, textarea")].find(node => visible(node) && !node.disabled && follows(node));
  }

  const focusOn = node => node && node.focus({ preventScroll: visible(document.activeElement) && root.contains(document.activeElement) });

  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(look);
  }

  function press(event, selector) {
    const button = [...root.querySelectorAll(selector)].find(node => visible(node) && !node.disabled);
    if (!button) return false;
    event.preventDefault();
    event.stopPropagation();
    button.click();
    return true;
  }

  function onKey(event) {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.target.closest(TYPED)) return;
    if (event.key === "Escape") {
      if (!(own(event.target) && press(event, ".mdissect-large .mdissect-close"))) press(event, ".mdissect-back");
    }
    if (!own(event.target)) return;
    const by = { ArrowLeft: "before", ArrowRight: "after" }[event.key];
    if (by && !event.target.closest(OWN_KEYS)) press(event, `.mdissect-large .mdissect-${by}`) || press(event, `.mdissect-step-${by}`);
    const to = { v: ".mdissect-verdict input, .mdissect-verdict button", "/": ".mdissect-search input" }[event.key];
    const goal = to && [...root.querySelectorAll(to)].find(node => own(node) && visible(node) && !node.disabled && !(node.type === "text" && node.value && event.key === "v"));
    if (goal) {
      event.preventDefault();
      event.stopPropagation();
      goal.focus();
    }
  }

  // JupyterLab takes letters and arrows for its own commands, such as x to cut a cell, unless the very element that has the
  // focus says no; with control keys, such as for saving, it may.
  function keepFromLab(event) {
    if (!(event.target instanceof Element) || !root.contains(event.target)) return;
    const keep = !(event.ctrlKey || event.metaKey || event.altKey);
    for (let node = event.target; node && node !== root.parentElement; node = node.parentElement) {
      if (keep && (node === root || node === event.target)) node.dataset.lmSuppressShortcuts = "true";
      else if (!keep) delete node.dataset.lmSuppressShortcuts;
    }
  }

  function start() {
    root = el.closest(".mdissect-view");
    if (!root) { cleanups.push((id => () => clearTimeout(id))(setTimeout(start, 50))); return; }
    listen(window, "keydown", keepFromLab, true); // before JupyterLab
    listen(root, "keydown", onKey);
    listen(document, "focusin", event => {
      inside = root.contains(event.target);
      if (inside) last = event.target;
      if (inside && own(event.target) && !event.target.closest(".mdissect-detail")) left = event.target;
    });
    observer = new MutationObserver(soon);
    observer.observe(root, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["style", "title", "disabled"] });
    soon();
  }

  start();
  return () => { observer && observer.disconnect(); cleanups.forEach(undo => undo()); };
}

export default { render };
