// The message field: send with Enter, keep unsent text, count down while rate limited.

const TYPING = 3000; // milliseconds between two typing frames

export class Composer {
  /** `on` has: say(text) and typing(). */
  constructor(form, on) {
    this.form = form;
    this.on = on;
    this.field = form.elements.message;
    this.button = form.querySelector("button");
    this.said = form.querySelector("[data-composer-said]");
    form.querySelector("[data-keys]").hidden = false;
    form.addEventListener("submit", (event) => this.submit(event));
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("input", () => this.type());
    this.typed = 0;
    this.waitsUntil = 0;
  }

  key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  submit(event) {
    event.preventDefault();
    const text = this.field.value.trim();
    if (!text || Date.now() < this.waitsUntil) return;
    this.on.say(text);
    this.field.value = "";
    this.typed = 0;
    this.field.focus();
  }

  type() {
    if (!this.field.value || Date.now() - this.typed < TYPING) return;
    this.typed = Date.now();
    this.on.typing();
  }

  /** Block sending for `seconds` and show a countdown. */
  wait(seconds) {
    this.waitsUntil = Date.now() + seconds * 1000;
    clearInterval(this.counting);
    const count = () => {
      const left = Math.ceil((this.waitsUntil - Date.now()) / 1000);
      this.button.disabled = left > 0;
      this.button.textContent = left > 0 ? `Wait ${left} s` : "Send";
      if (left > 0) return;
      clearInterval(this.counting);
      this.said.textContent = "";
    };
    this.said.textContent = "Too many messages. Wait a moment.";
    this.counting = setInterval(count, 250);
    count();
  }

  /** Close the field; its text stays so that it can be copied. */
  shut() {
    clearInterval(this.counting);
    this.button.disabled = true;
  }
}
