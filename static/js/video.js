// The source of the player. Signed addresses expire, so the next one is fetched early and swapped in unnoticed. A broken
// stream resumes at the same second. All addresses belong to one playback.

const MARGIN = 0.25; // fraction of an address's life that is left when the next one is fetched
const TRIES = 4;
const CALM = 5; // seconds of playback after which the last failure is forgotten

/** The site refused the request; `message` says why. */
class RefusedError extends Error {}

class Source {
  constructor(video) {
    this.video = video;
    this.quality = video.dataset.quality;
    this.wanted = this.quality; // the chosen quality, until it plays
    this.shows = () => {}; // called with the current quality
    this.playback = video.dataset.playback;
    this.next = null;
    this.tries = 0;
    this.troubleAt = 0;
    this.plays = false; // stays true when the stream breaks: Chromium then reports a paused video
    video.addEventListener("play", () => (this.plays = true));
    video.addEventListener("pause", () => (this.plays &&= video.error !== null));
    this.holds(Number(video.dataset.lasts), performance.timeOrigin);
    this.begin(new URL(video.src));
  }

  /** Start at the position in the address, set so that it can still change. */
  begin(address) {
    const at = Number(address.hash.replace("#t=", ""));
    if (!at) return;
    address.hash = "";
    this.video.src = address;
    this.video.currentTime = at;
  }

  /** The current address is valid for `seconds` from `since`, by the local clock. */
  holds(seconds, since = Date.now()) {
    this.due = since + seconds * 1000 * (1 - MARGIN);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.prepare(), Math.max(this.due - Date.now(), 1000));
  }

  /** Ask the site for an address. Throws RefusedError, and TypeError while the site cannot be reached. */
  async ask(quality = this.wanted) {
    const address = new URL(this.video.dataset.access, location.href);
    address.search = new URLSearchParams({ quality, playback: this.playback });
    const asked = Date.now();
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    const said = await answer.json().catch(() => ({}));
    if (answer.status >= 500 || answer.status === 429) throw new TypeError(said.detail);
    if (!answer.ok) throw new RefusedError(said.detail ?? "This video can no longer be played.");
    const now = Date.parse(answer.headers.get("Date")) || asked; // by the clock of the site: the local one may be wrong
    return { url: said.url, quality: said.quality, end: asked + said.expires_at * 1000 - now };
  }

  /** Fetch the next address shortly before this one expires, only while playing. */
  async prepare() {
    if (this.video.paused) return;
    this.next = await this.ask().catch(() => null);
  }

  /** Continue at the same second from another address. */
  put(fresh) {
    const { video } = this;
    const at = video.currentTime;
    const begun = this.plays || video.readyState > 0;
    this.next = null;
    this.quality = fresh.quality;
    this.holds((fresh.end - Date.now()) / 1000);
    if (begun) {
      video.removeAttribute("poster"); // it would show again
      video.preload = "auto";
    }
    video.src = fresh.url;
    video.currentTime = at; // the start position before metadata has loaded
    if (this.plays) video.play().catch(() => {});
  }

  /** Swap in a new address if the current one has expired or soon will. */
  renew() {
    if (Date.now() >= this.due) this.go();
  }

  /** Fetch and use an address of the wanted quality; the choice holds until it plays or is refused. */
  async go(quality = this.wanted) {
    this.wanted = quality;
    if (this.going) return;
    this.going = true;
    clearTimeout(this.again);
    try {
      const ready = this.next?.quality === quality && this.next.end > Date.now() + 1000;
      this.put(ready ? this.next : await this.ask(quality));
      say("");
    } catch (error) {
      this.stop(error);
      return;
    } finally {
      this.going = false;
    }
    if (this.wanted !== quality) this.go(); // the choice changed meanwhile
    else this.settle();
  }

  /** The wanted quality is playing: show it. */
  settle() {
    this.wanted = this.quality;
    this.shows(this.quality);
  }

  /** Retry; failures at another position count from zero. */
  calm() {
    if (Math.abs(this.video.currentTime - this.troubleAt) > CALM) this.tries = 0;
    this.troubleAt = this.video.currentTime;
  }

  stop(error) {
    this.calm();
    if (error instanceof RefusedError) {
      this.rest();
      say(error.message);
    } else if (this.tries < TRIES) {
      this.tries += 1;
      say("Connection lost. Trying again…");
      this.again = setTimeout(() => this.go(), 500 * 2 ** this.tries);
    } else {
      this.rest();
      say("Connection lost. Reload the page to continue.");
    }
  }

  rest() {
    this.settle();
    this.plays = false;
    this.video.pause();
  }

  /** The stream broke: the address expired, the site was down, or the file is not a video. */
  broke() {
    if (this.going) return;
    this.calm();
    if (this.tries >= TRIES) {
      say("This video could not be played. Reload the page to try again.");
      return;
    }
    this.tries += 1;
    this.go();
  }
}

const line = document.querySelector("[data-said]");
/** Show a message below the video and announce it to screen readers. */
function say(words) {
  if (line.textContent !== words) line.textContent = words;
}

const KEPT = "video-quality";
/** Switch quality at the same second and remember the choice for the next video. */
function chooseQuality(select, source) {
  const take = (quality) => {
    select.value = quality;
    if (quality !== source.wanted) source.go(quality);
  };
  source.shows = (quality) => (select.value = quality);
  select.addEventListener("change", () => {
    try {
      localStorage.setItem(KEPT, select.value);
    } catch {
      // Storage is blocked: the choice applies to this video only.
    }
    take(select.value);
  });
  select.form.addEventListener("submit", (event) => event.preventDefault());
  try {
    const kept = localStorage.getItem(KEPT);
    const offered = [...select.options].some((option) => option.value === kept);
    if (offered && !location.search.includes("quality=")) take(kept);
  } catch {
    // Storage is blocked: use the quality that the site chose.
  }
}

const video = document.querySelector("[data-video]");
if (video) {
  const source = new Source(video);
  video.addEventListener("error", () => source.broke());
  for (const name of ["play", "seeking"]) video.addEventListener(name, () => source.renew());
  video.addEventListener("pause", () => source.next && source.renew()); // a good moment, while paused
  const select = document.querySelector("[data-quality-choice]");
  if (select) chooseQuality(select, source);
}
