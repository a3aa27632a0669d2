// Form extras: show a password while typing it.

/** Toggle a password between shown and hidden; hide it again before the form is sent. */
function reveal(button) {
  const field = document.getElementById(button.getAttribute("aria-controls"));
  const show = (shown) => {
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => show(field.type === "password"));
  field.form.addEventListener("submit", () => show(false)); // browsers remember values of text fields
  button.hidden = false;
}

document.querySelectorAll("[data-reveal]").forEach(reveal);
