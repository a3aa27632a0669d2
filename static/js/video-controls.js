// Controls that browsers lack: speed, chapters, and keyboard shortcuts while the player has focus.

const STEP = 10; // seconds by a key
const video = document.querySelector("[data-video]");
const player = document.querySelector("[data-player]");
const speed = document.querySelector("[data-speed]");
const chapters = [...document.querySelectorAll(".chapters [data-at]")];

function setSpeed(rate) {
  video.defaultPlaybackRate = video.playbackRate = rate; // the default survives a change of source
}

function changeSpeed(by) {
  const next = speed.options[speed.selectedIndex + by];
  if (!next) return;
  speed.value = next.value;
  setSpeed(Number(next.value));
}

function goTo(seconds) {
  const most = Number.isFinite(video.duration) ? video.duration : Infinity;
  video.currentTime = Math.min(Math.max(seconds, 0), most);
}

/** Index of the current chapter; -1 before the first. */
function current() {
  return chapters.findLastIndex((link) => Number(link.dataset.at) <= video.currentTime + 0.2);
}

function markChapter() {
  const here = current();
  chapters.forEach((link, place) => {
    if (place === here) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  });
}

function turnChapter(by) {
  const link = chapters[current() + by];
  if (link) goTo(Number(link.dataset.at));
}

function toggleCaptions() {
  const tracks = [...video.textTracks].filter((track) => track.kind === "captions");
  const shown = tracks.find((track) => track.mode === "showing");
  if (shown) shown.mode = "disabled";
  else if (tracks[0]) tracks[0].mode = "showing";
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else (video.requestFullscreen ?? video.webkitEnterFullscreen)?.call(video);
}

const KEYS = {
  k: () => (video.paused ? video.play() : video.pause()),
  j: () => goTo(video.currentTime - STEP),
  l: () => goTo(video.currentTime + STEP),
  m: () => (video.muted = !video.muted),
  c: toggleCaptions,
  f: toggleFull,
  n: () => turnChapter(1),
  p: () => turnChapter(-1),
  "<": () => changeSpeed(-1),
  ">": () => changeSpeed(1),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input:not([type=range])")) return;
  const digit = /^[0-9]$/.test(event.key) && Number.isFinite(video.duration);
  const act = digit ? () => goTo((video.duration * Number(event.key)) / 10) : KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

if (video) {
  speed.addEventListener("change", () => setSpeed(Number(speed.value)));
  speed.closest("[hidden]").hidden = false;
  document.querySelector("[data-keys]").hidden = false;
  player.addEventListener("keydown", onKey);
  video.addEventListener("timeupdate", markChapter);
  video.addEventListener("seeking", markChapter);
  for (const link of document.querySelectorAll("[data-at]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      goTo(Number(link.dataset.at));
      markChapter();
      video.play().catch(() => {});
      video.focus({ preventScroll: false });
    });
  }
}
