// Save the position of a member, so that the video resumes there on any device.

const EVERY = 10; // seconds of playback between two saves, fewer in a short video
const video = document.querySelector("[data-video]");
const address = video?.dataset.progress;
const from = Number(video?.dataset.rememberFrom); // seconds: what was left before starts at its beginning
let told = 0;

/** `keepalive` lets the request finish after the page is closed. */
function tell() {
  const at = Math.round(video.currentTime * 1000);
  if (!video.readyState || at === told) return;
  told = at;
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  const body = JSON.stringify({ position_ms: at });
  fetch(address, { method: "POST", keepalive: true, headers, body }).catch(() => {});
}

if (address) {
  video.addEventListener("timeupdate", () => {
    if (!video.paused && Math.abs(video.currentTime * 1000 - told) >= Math.min(EVERY, Math.max(from, 1)) * 1000) tell();
  });
  for (const name of ["pause", "ended"]) video.addEventListener(name, tell);
  addEventListener("pagehide", () => {
    if (!video.paused) tell();
  });
}
