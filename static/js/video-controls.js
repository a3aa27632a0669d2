// The controls of the player, in the place of the browser's own, and keyboard shortcuts while the player has focus.

const STEP = 10; // seconds by a key
const SMALL_STEP = 5; // seconds by an arrow
const IDLE = 3000; // milliseconds without a movement after which full screen shows the picture alone
const video = document.querySelector("[data-video]");
const player = document.querySelector("[data-player]");
const stage = document.querySelector("[data-stage]");
const speed = document.querySelector("[data-speed]");
const volume = document.querySelector("[data-volume]");
const captions = document.querySelector("[data-captions]");
const chapters = [...document.querySelectorAll(".chapters [data-at]")];

/** The button `data-name`. */
function button(name) {
  return player.querySelector(`[data-${name}]`);
}

function setSpeed(rate) {
  video.defaultPlaybackRate = video.playbackRate = rate; // the default survives a change of source
}

/** Choose a neighbour of the selected option: 1 is the next one. Returns false at the end of the list. */
function turn(select, by) {
  const next = select.options[select.selectedIndex + by];
  if (!next) return false;
  select.value = next.value;
  select.dispatchEvent(new Event("change"));
  return true;
}

function goTo(seconds) {
  const most = Number.isFinite(video.duration) ? video.duration : Infinity;
  video.currentTime = Math.min(Math.max(seconds, 0), most);
  if (!video.readyState) video.dispatchEvent(new Event("timeupdate")); // the bar follows before it is loaded, too
}

function togglePlay() {
  if (video.paused) video.play().catch(() => {});
  else video.pause();
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

function captionTracks() {
  return [...video.textTracks].filter((track) => track.kind === "captions");
}

function chooseCaptions(place) {
  captionTracks().forEach((track, n) => (track.mode = String(n) === place ? "showing" : "disabled"));
}

function toggleCaptions() {
  if (captions) chooseCaptions(captions.value === "" ? "0" : "");
}

function showCaptionChoice() {
  const place = captionTracks().findIndex((track) => track.mode === "showing");
  captions.value = place < 0 ? "" : String(place);
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen?.(); // an iPhone knows no other
}

function toggleSmall() {
  const change = document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture();
  change.catch(() => {});
}

/** In full screen, hide the controls while it plays and nobody moves. */
let idle = 0;
function stir() {
  delete stage.dataset.idle;
  clearTimeout(idle);
  if (!document.fullscreenElement || video.paused) return;
  idle = setTimeout(() => {
    if (!video.paused && !stage.querySelector(":focus-visible")) stage.dataset.idle = "";
  }, IDLE);
}

const KEYS = {
  k: togglePlay,
  j: () => goTo(video.currentTime - STEP),
  l: () => goTo(video.currentTime + STEP),
  arrowleft: () => goTo(video.currentTime - SMALL_STEP),
  arrowright: () => goTo(video.currentTime + SMALL_STEP),
  arrowup: () => turn(volume, -1),
  arrowdown: () => turn(volume, 1),
  m: () => (video.muted = !video.muted),
  c: toggleCaptions,
  f: toggleFull,
  n: () => turnChapter(1),
  p: () => turnChapter(-1),
  "<": () => turn(speed, -1),
  ">": () => turn(speed, 1),
};

const SLIDER_KEYS = { ArrowUp: "ArrowRight", ArrowDown: "ArrowLeft" }; // they turn every slider

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input:not([type=range])")) return;
  const digit = /^[0-9]$/.test(event.key) && Number.isFinite(video.duration);
  const key = (event.target.matches("input") && SLIDER_KEYS[event.key]) || event.key;
  let act = digit ? () => goTo((video.duration * Number(event.key)) / 10) : KEYS[key.toLowerCase()];
  if (event.key === " " && !event.target.closest("button, summary, a")) act = togglePlay;
  if (!act) return;
  event.preventDefault();
  stir();
  act();
}

/** Show on a button what it will do next. */
function label(name, words, state) {
  button(name).setAttribute("aria-label", words);
  if (state) button(name).dataset.state = "on";
  else delete button(name).dataset.state;
}

function showState() {
  label("play", video.paused ? "Play" : "Pause", !video.paused);
  label("mute", video.muted ? "Unmute" : "Mute", video.muted);
  const full = document.fullscreenElement === stage;
  label("full", full ? "Exit full screen" : "Full screen", full);
  button("start").hidden = !video.paused || video.currentTime > 0 || video.readyState > 0;
  stir();
}

function listen() {
  button("play").addEventListener("click", togglePlay);
  video.addEventListener("click", togglePlay);
  video.addEventListener("dblclick", toggleFull);
  button("mute").addEventListener("click", KEYS.m);
  button("full").addEventListener("click", toggleFull);
  button("small").addEventListener("click", toggleSmall);
  button("small").hidden = !document.pictureInPictureEnabled;
  for (const name of ["play", "pause", "volumechange", "ended", "loadedmetadata"]) video.addEventListener(name, showState);
  video.addEventListener("waiting", () => (stage.dataset.waiting = ""));
  for (const name of ["playing", "pause", "seeked", "error", "timeupdate"]) {
    video.addEventListener(name, () => delete stage.dataset.waiting);
  }
  document.addEventListener("fullscreenchange", showState);
  for (const name of ["pointermove", "focusin"]) stage.addEventListener(name, stir);
  player.addEventListener("keydown", onKey);
}

function listenToChoices() {
  speed.addEventListener("change", () => setSpeed(Number(speed.value)));
  volume.addEventListener("change", () => {
    video.volume = Number(volume.value);
    video.muted = false;
  });
  captions?.addEventListener("change", () => chooseCaptions(captions.value));
  if (captions) {
    video.textTracks.addEventListener("change", showCaptionChoice);
    showCaptionChoice();
  }
  for (const choice of player.querySelectorAll(".choice")) choice.hidden = false;
  video.volume = 0.5;
  button("volume-choice").hidden = video.volume !== 0.5; // an iPhone has keys for it
  video.volume = 1;
}

/** Replace the browser's controls, so that there is one bar to seek with. */
function takeOver() {
  video.controls = false;
  video.tabIndex = -1; // a click on it gives it the keyboard
  document.querySelector("[data-controls]").hidden = false;
  document.querySelector("[data-keys]").hidden = false;
}

if (video) {
  takeOver();
  listen();
  listenToChoices();
  showState();
  for (const name of ["timeupdate", "seeking"]) video.addEventListener(name, markChapter);
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
