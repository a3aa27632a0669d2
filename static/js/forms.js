// What forms gain from scripts: a password can be looked at while it is typed.

/** The button beside a password shows and hides it; the field is hidden again before it is sent. */
function reveal(button) {
  const field = document.getElementById(button.getAttribute("aria-controls"));
  const show = (shown) => {
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => show(field.type === "password"));
  field.form.addEventListener("submit", () => show(false)); // browsers remember what was typed into a text field
  button.hidden = false;
}

document.querySelectorAll("[data-reveal]").forEach(reveal);
