// Web vitals of this page view, sent once when the page is left: LCP, INP, CLS, TTFB, and how many scripts failed.
// Nothing identifies the visitor: no cookie, no address of the page, only the kind of page and of device.

const tag = document.querySelector("script[data-vitals]");
const { share, route } = tag.dataset;
const vitals = {};
const shifts = { value: 0, first: 0, last: 0 };
const interactions = new Map();

function observe(type, each, options) {
  try {
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(each));
    observer.observe({ type, buffered: true, ...options });
  } catch {
    // This browser does not measure it.
  }
}

/** Layout shifts count in windows of at most 5 s, with less than 1 s between two; the worst window counts. */
function addShift({ hadRecentInput, startTime, value }) {
  if (hadRecentInput) return;
  if (startTime - shifts.last > 1000 || startTime - shifts.first > 5000) {
    shifts.value = 0;
    shifts.first = startTime;
  }
  shifts.last = startTime;
  shifts.value += value;
  vitals.cls = Math.max(vitals.cls ?? 0, shifts.value);
}

function addInteraction({ interactionId, duration }) {
  if (interactionId) interactions.set(interactionId, Math.max(interactions.get(interactionId) ?? 0, duration));
}

/** The slowest interaction; one in 50 is left out. */
function slowestInteraction() {
  const slowest = [...interactions.values()].sort((a, b) => b - a);
  return slowest[Math.floor((performance.interactionCount ?? slowest.length) / 50)] ?? slowest.at(-1);
}

function send() {
  removeEventListener("pagehide", send);
  document.removeEventListener("visibilitychange", sendIfHidden);
  vitals.inp = slowestInteraction();
  const touch = matchMedia("(pointer: coarse)").matches;
  const device = !touch ? "desktop" : Math.min(screen.width, screen.height) < 600 ? "phone" : "tablet";
  fetch("/api/telemetry/vitals", {
    method: "POST",
    body: JSON.stringify({ route, device, ...vitals }),
    headers: { "Content-Type": "application/json" },
    keepalive: true,
    credentials: "omit",
  }).catch(() => {});
}

const sendIfHidden = () => document.visibilityState === "hidden" && send();

if (!navigator.globalPrivacyControl && Math.random() < share) {
  const countError = () => (vitals.errors = (vitals.errors ?? 0) + 1);
  addEventListener("error", countError);
  addEventListener("unhandledrejection", countError);
  observe("navigation", ({ responseStart }) => (vitals.ttfb = responseStart));
  observe("largest-contentful-paint", ({ startTime }) => (vitals.lcp = startTime));
  observe("layout-shift", addShift);
  observe("event", addInteraction, { durationThreshold: 40 });
  observe("first-input", addInteraction);
  addEventListener("pagehide", send);
  document.addEventListener("visibilitychange", sendIfHidden);
}
