// A seek bar below the video that previews the picture at the pointer.

const video = document.querySelector("[data-video]");
const box = document.querySelector("[data-seek]");

/** 75.2 as 1:15. */
function clock(seconds) {
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function secondsOf(stamp) {
  return stamp.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** Parse a WebVTT file whose cues name part of a sprite sheet: `thumbs.jpg#xywh=160,0,160,90`. */
function parse(text) {
  const cue = /([\d:.]+) --> [^\n]*\n([^\n]*)#xywh=(\d+),(\d+),(\d+),(\d+)/g;
  return [...text.replaceAll("\r", "").matchAll(cue)].map(([, from, sheet, x, y, w, h]) => ({
    from: secondsOf(from),
    sheet,
    x: Number(x),
    y: Number(y),
    w: Number(w),
    h: Number(h),
  }));
}

class Seek {
  constructor() {
    this.range = box.querySelector("input");
    this.preview = box.querySelector("[data-preview]");
    this.picture = box.querySelector("[data-picture]");
    this.time = box.querySelector("[data-time]");
    this.pictures = null;
    this.held = false;
    this.length = Number(box.dataset.seconds);
    this.range.max = this.length;
    this.range.addEventListener("input", () => this.move());
    this.range.addEventListener("change", () => this.letGo());
    this.range.addEventListener("pointermove", (event) => this.show(this.under(event)));
    for (const name of ["pointerleave", "blur"]) this.range.addEventListener(name, () => this.hide());
    for (const name of ["timeupdate", "seeking"]) video.addEventListener(name, () => this.follow());
    this.follow();
    box.hidden = false;
  }

  /** The second under the pointer. */
  under(event) {
    const { left, width } = this.range.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - left) / width, 0), 1) * this.length;
  }

  move() {
    this.held = true;
    this.say(Number(this.range.value));
    this.show(Number(this.range.value));
  }

  letGo() {
    this.held = false;
    video.currentTime = Number(this.range.value);
    this.hide();
  }

  follow() {
    if (this.held || !video.readyState) return;
    this.range.value = video.currentTime;
    this.say(video.currentTime);
  }

  say(seconds) {
    this.range.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.length)}`);
  }

  async show(seconds) {
    this.time.textContent = clock(seconds);
    this.preview.hidden = false;
    const half = this.preview.offsetWidth / 2;
    const at = (seconds / this.length) * box.clientWidth;
    this.preview.style.left = `${Math.min(Math.max(at, half), box.clientWidth - half)}px`;
    this.pictures ??= this.load();
    const found = (await this.pictures).findLast((picture) => picture.from <= seconds);
    this.picture.hidden = !found;
    if (!found) return;
    this.picture.style.width = `${found.w}px`;
    this.picture.style.height = `${found.h}px`;
    this.picture.style.backgroundPosition = `-${found.x}px -${found.y}px`;
  }

  hide() {
    this.preview.hidden = true;
  }

  /** Load the preview pictures on first use. */
  async load() {
    if (!box.dataset.thumbs) return [];
    const answer = await fetch(box.dataset.thumbs).catch(() => null);
    if (!answer?.ok) return [];
    const found = parse(await answer.text());
    if (found.length) this.picture.style.backgroundImage = `url("${new URL(found[0].sheet, answer.url)}")`;
    return found;
  }
}

if (video && box) new Seek();
