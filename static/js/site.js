// Extras for every page. The parts are independent, and every page works without them.

const PAPER = { light: "#fcfcfa", dark: "#17161b" };

/** The current theme: the choice of the reader, or that of the system. */
function currentTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
}

function themeToggle(button) {
  const show = () => {
    const theme = currentTheme();
    button.setAttribute("aria-pressed", String(theme === "dark"));
    if (!document.documentElement.dataset.theme) return;
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) meta.content = PAPER[theme];
  };
  button.addEventListener("click", () => {
    const theme = currentTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Storage is blocked: the choice applies to this page only.
    }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
  button.hidden = false;
}

/** Add a copy button to each code block. The clipboard needs https or localhost. */
function copyButtons(prose) {
  if (!navigator.clipboard) return;
  status.className = "visually-hidden";
  status.setAttribute("role", "status");
  prose.after(status);
  for (const block of prose.querySelectorAll("div.codehilite")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the code");
    button.addEventListener("click", async () => {
      const done = await navigator.clipboard.writeText(block.querySelector("pre").textContent).then(
        () => true,
        () => false,
      );
      announce(button, done ? "Copied" : "Not copied");
    });
    block.append(button);
  }
}

const status = document.createElement("p");

/** Show the result on the button and announce it in a live region. */
function announce(button, words) {
  status.textContent = words;
  button.textContent = words;
  setTimeout(() => {
    button.textContent = "Copy";
    status.textContent = "";
  }, 2000);
}

/** Keep a tab stop only on blocks that scroll sideways. */
function keyboardScrolling(prose) {
  const update = () => {
    for (const box of prose.querySelectorAll("pre, table")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  new ResizeObserver(update).observe(prose);
}

/** Mark the current section: the last heading above the upper third of the window. */
function currentSection(toc, prose) {
  const links = new Map();
  for (const link of toc.querySelectorAll("a")) {
    const heading = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (heading && prose.contains(heading)) links.set(heading, link);
  }
  let waiting = false;
  const mark = () => {
    waiting = false;
    const passed = [...links.keys()].filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
    const current = passed.at(-1);
    for (const [heading, link] of links) {
      if (heading === current) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
  };
  const soon = () => {
    if (!waiting) requestAnimationFrame(mark);
    waiting = true;
  };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon, { passive: true });
  mark();
}

const toggle = document.querySelector("[data-theme-toggle]");
if (toggle) themeToggle(toggle);

const prose = document.querySelector(".prose");
const toc = document.querySelector("[data-toc]");
if (prose) {
  copyButtons(prose);
  keyboardScrolling(prose);
}
if (prose && toc) currentSection(toc, prose);
