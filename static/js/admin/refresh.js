// Keep a page current: fetch it again every ``data-live`` seconds, and replace the parts that have this attribute. It rests
// while the page is hidden, while somebody reads a value or fills in a field there, and after the button has stopped it.

const parts = () => [...document.querySelectorAll("[data-live][id]")];
const button = document.querySelector("[data-live-button]");
let stopped = false;
let timer;

/** Whether a part is in use, so that it must not change now. */
function inUse(part) {
  return part.contains(document.activeElement) || part.matches(":hover:has(.chart-tip:not([hidden]))");
}

/** The open details of a part by their order, to open them again. */
function openDetails(part) {
  return [...part.querySelectorAll("details")].map((one) => one.open);
}

function replace(part, fresh) {
  const open = openDetails(part);
  const next = document.importNode(fresh, true);
  part.replaceWith(next);
  next.querySelectorAll("details").forEach((one, index) => (one.open = open[index] ?? one.open));
  next.dispatchEvent(new CustomEvent("desk:refreshed", { bubbles: true }));
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) {
      const fresh = page.getElementById(part.id);
      if (fresh && !inUse(part)) replace(part, fresh);
    }
  } catch {
    // The site does not respond: the page stays as it is, and the next try may succeed.
  }
}

function wait() {
  clearTimeout(timer);
  const seconds = Math.min(...parts().map((part) => Number(part.dataset.live)));
  if (stopped || document.hidden || !Number.isFinite(seconds)) return;
  timer = setTimeout(() => refresh().finally(wait), seconds * 1000);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden || stopped) wait();
  else refresh().finally(wait);
});

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    stopped = !stopped;
    button.setAttribute("aria-pressed", String(stopped));
    if (stopped) wait();
    else refresh().finally(wait);
  });
}

wait();
