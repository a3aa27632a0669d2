// Where the player reads from. The address is signed and ends, so the next one is fetched before it does and put in
// where nobody notices; a stream that breaks off goes on at the same second. All addresses belong to one playback.

const MARGIN = 0.25; // of an address' life that is left when the next one is fetched
const TRIES = 4;
const CALM = 5; // seconds that played since the last trouble, after which it is forgotten

/** The site's answer was no; `message` says why. */
class RefusedError extends Error {}

class Source {
  constructor(video) {
    this.video = video;
    this.quality = video.dataset.quality;
    this.wanted = this.quality; // what was chosen, until it plays
    this.shows = () => {}; // told which of them it is
    this.playback = video.dataset.playback;
    this.next = null;
    this.tries = 0;
    this.troubleAt = 0;
    this.plays = false; // or would, had its stream not broken off: Chromium then says that it is paused
    video.addEventListener("play", () => (this.plays = true));
    video.addEventListener("pause", () => (this.plays &&= video.error !== null));
    this.holds(Number(video.dataset.lasts), performance.timeOrigin);
    this.begin(new URL(video.src));
  }

  /** Begin where the address says, by a position that can still be changed: one in the address could not. */
  begin(address) {
    const at = Number(address.hash.replace("#t=", ""));
    if (!at) return;
    address.hash = "";
    this.video.src = address;
    this.video.currentTime = at;
  }

  /** The address in use is good for `seconds` from the moment `since`, by this clock. */
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
    if (!answer.ok) throw new RefusedError(said.detail ?? "This video cannot be played any more.");
    const now = Date.parse(answer.headers.get("Date")) || asked; // by the site's clock: this one may be wrong
    return { url: said.url, quality: said.quality, end: asked + said.expires_at * 1000 - now };
  }

  /** Shortly before the address ends, have the next one; a page that nobody plays asks for nothing. */
  async prepare() {
    if (this.video.paused) return;
    this.next = await this.ask().catch(() => null);
  }

  /** Go on from the same second at another address. */
  put(fresh) {
    const { video } = this;
    const at = video.currentTime;
    const begun = this.plays || video.readyState > 0;
    this.next = null;
    this.quality = fresh.quality;
    this.holds((fresh.end - Date.now()) / 1000);
    if (begun) {
      video.removeAttribute("poster"); // it would be shown again
      video.preload = "auto";
    }
    video.src = fresh.url;
    video.currentTime = at; // where it begins, while nothing of it is known
    if (this.plays) video.play().catch(() => {});
  }

  /** Put in another address if the one in use has ended, or is about to. */
  renew() {
    if (Date.now() >= this.due) this.go();
  }

  /** Get an address of the quality that is wanted, and put it in; a choice holds until it plays or is refused. */
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
    if (this.wanted !== quality) this.go(); // another was chosen meanwhile
    else this.settle();
  }

  /** What plays is what is wanted, and is shown to be. */
  settle() {
    this.wanted = this.quality;
    this.shows(this.quality);
  }

  /** Trouble at another place is not the same trouble: it is tried anew. */
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
      say("The connection is gone. Trying again…");
      this.again = setTimeout(() => this.go(), 500 * 2 ** this.tries);
    } else {
      this.rest();
      say("The connection is gone. Reload the page to go on.");
    }
  }

  rest() {
    this.settle();
    this.plays = false;
    this.video.pause();
  }

  /** The stream broke off: the address has ended, the site was away, or this is no video. */
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
/** Tell it under the picture, and to a screen reader. */
function say(words) {
  if (line.textContent !== words) line.textContent = words;
}

const KEPT = "video-quality";
/** Another quality at the same second; the choice is kept for the next video. */
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
      // Not kept; it still holds for this video.
    }
    take(select.value);
  });
  select.form.addEventListener("submit", (event) => event.preventDefault());
  try {
    const kept = localStorage.getItem(KEPT);
    const offered = [...select.options].some((option) => option.value === kept);
    if (offered && !location.search.includes("quality=")) take(kept);
  } catch {
    // Storage is refused: the site's choice stands.
  }
}

const video = document.querySelector("[data-video]");
if (video) {
  const source = new Source(video);
  video.addEventListener("error", () => source.broke());
  for (const name of ["play", "seeking"]) video.addEventListener(name, () => source.renew());
  video.addEventListener("pause", () => source.next && source.renew()); // nobody looks: a good moment
  const select = document.querySelector("[data-quality-choice]");
  if (select) chooseQuality(select, source);
}
