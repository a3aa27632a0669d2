// Keys of the admin area: / for the box, g and a letter for a section, ? for the list of all. They rest in fields, and can be
// turned off, because speech input and others send letters that are no commands.

const OFF = "admin-keys-off";
const WAIT = 1500; // milliseconds for the letter after a g
const box = document.getElementById("admin-box");
const button = document.querySelector("[data-keys]");
const links = new Map([...document.querySelectorAll("[data-key]")].map((link) => [link.dataset.key, link]));
let waiting = 0;

function areOff() {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false;
  }
}

function turn(off) {
  try {
    localStorage.setItem(OFF, off ? "1" : "");
  } catch {
    // Storage is blocked: the keys stay on.
  }
}

function element(name, text = "", parts = []) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...parts);
  return made;
}

function entry(keys, words) {
  const cells = keys.flatMap((key, index) => (index ? [" ", element("kbd", key)] : [element("kbd", key)]));
  return [element("dt", "", cells), element("dd", words)];
}

/** The list of keys, made when it is first wanted. */
function makeDialog() {
  const dialog = element("dialog");
  dialog.className = "keys";
  dialog.setAttribute("aria-label", "Keys");
  const list = [...links].flatMap(([key, link]) => entry(["g", key], link.textContent));
  const all = element("dl", "", [...entry(["/"], "The box"), ...list, ...entry(["?"], "These keys")]);
  const on = element("input");
  on.type = "checkbox";
  on.checked = !areOff();
  on.addEventListener("change", () => turn(!on.checked));
  const close = element("button", "Close");
  close.className = "button button-quiet";
  close.addEventListener("click", () => dialog.close());
  dialog.append(element("h2", "Keys"), all, element("label", "", [on, "Keys are on"]), close);
  document.body.append(dialog);
  return dialog;
}

let dialog;
function openDialog() {
  dialog ??= makeDialog();
  dialog.showModal();
}

function isTyping(target) {
  return target.closest("input, select, textarea, [contenteditable], dialog") !== null;
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || areOff()) return;
  const follows = performance.now() - waiting < WAIT;
  waiting = 0;
  if (follows && links.has(event.key)) links.get(event.key).click();
  else if (event.key === "g") waiting = performance.now();
  else if (event.key === "/") box.focus();
  else if (event.key === "?") openDialog();
  else return;
  event.preventDefault();
}

/** A drawer that is open closes on Escape and on a click beside it. */
function closeDrawer(event) {
  const drawer = document.querySelector("#admin-menu:target");
  if (!drawer) return;
  const beside = event.type === "click" && !drawer.contains(event.target) && !event.target.closest(".desk-open");
  if (beside || event.key === "Escape") location.hash = "#main";
}

document.addEventListener("keydown", press);
document.addEventListener("keydown", closeDrawer);
document.addEventListener("click", closeDrawer);
if (button) {
  button.hidden = false;
  button.addEventListener("click", openDialog);
}
