// The seek bar below the video: it marks the chapters, and previews the picture and the chapter at the pointer.

const THUMB = 16; // pixels: the middle of the thumb moves between half of it from both ends

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
    this.title = box.querySelector("[data-chapter]");
    this.now = document.querySelector("[data-now]");
    this.chapters = [...document.querySelectorAll(".chapters [data-at]")].map((link) => ({
      from: Number(link.dataset.at),
      title: link.querySelector("span").textContent,
    }));
    this.pictures = null;
    this.held = false;
    this.length = Number(box.dataset.seconds);
    this.range.max = this.length;
    this.range.addEventListener("input", () => this.move());
    this.range.addEventListener("change", () => this.letGo());
    this.range.addEventListener("pointermove", (event) => this.show(this.under(event)));
    for (const name of ["pointerleave", "blur"]) this.range.addEventListener(name, () => this.hide());
    for (const name of ["timeupdate", "seeking"]) video.addEventListener(name, () => this.follow());
    for (const chapter of this.chapters) this.mark(chapter);
    this.say(Number(this.range.value));
    this.follow();
  }

  /** Where a second is on the bar, for CSS. */
  place(seconds) {
    return `calc(${THUMB / 2}px + ${seconds / this.length} * (100% - ${THUMB}px))`;
  }

  mark({ from }) {
    if (from <= 0 || from >= this.length) return;
    const mark = document.createElement("span");
    mark.className = "chapter-mark";
    mark.style.left = this.place(from);
    box.append(mark);
  }

  chapterAt(seconds) {
    return this.chapters.findLast((chapter) => chapter.from <= seconds + 0.2);
  }

  /** The second under the pointer. */
  under(event) {
    const { left, width } = this.range.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - left - THUMB / 2) / (width - THUMB), 0), 1) * this.length;
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
    if (this.held) return;
    this.range.value = video.currentTime;
    this.say(video.currentTime);
  }

  say(seconds) {
    const chapter = this.chapterAt(seconds);
    const words = `${clock(seconds)} of ${clock(this.length)}${chapter ? `, ${chapter.title}` : ""}`;
    this.range.setAttribute("aria-valuetext", words);
    this.now.textContent = clock(seconds);
  }

  async show(seconds) {
    this.time.textContent = clock(seconds);
    const chapter = this.chapterAt(seconds);
    this.title.textContent = chapter?.title ?? "";
    this.title.hidden = !chapter;
    this.preview.hidden = false;
    this.shown = seconds;
    this.center();
    this.pictures ??= this.load();
    const found = (await this.pictures).findLast((picture) => picture.from <= this.shown);
    this.picture.hidden = !found;
    if (found) this.draw(found);
    this.center();
  }

  /** Keep the preview above its second, and within the bar. */
  center() {
    const half = this.preview.offsetWidth / 2;
    const at = THUMB / 2 + (this.shown / this.length) * (box.clientWidth - THUMB);
    this.preview.style.left = `${Math.min(Math.max(at, half), Math.max(half, box.clientWidth - half))}px`;
  }

  draw(found) {
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
