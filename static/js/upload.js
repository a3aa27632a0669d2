// Sends a video in pieces, so that it goes on where it was broken off: after a lost connection by itself, after a closed
// window once the same file is chosen again. Without scripts the form is sent as a whole, which only a small one can be.

const SMALLEST = 256 * 1024;
const LARGEST = 4 * 1024 * 1024; // what the site takes at once
const AIM = 3; // seconds that a piece should take
const SLOWEST = 30_000; // milliseconds between two tries

const form = document.querySelector("[data-upload]");

/** The site's answer was no; `errors` are by field. */
class RefusedError extends Error {
  constructor(said, status) {
    super(said.detail ?? "The site did not take it.");
    this.errors = said.errors ?? {};
    this.status = status;
  }
}

/** What the site answers. Throws RefusedError for what trying again won't change, TypeError for the rest. */
async function ask(address, options = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": form.elements.csrf_token.value, ...options.headers };
  const answer = await fetch(address, { ...options, headers });
  if (answer.status >= 500 && answer.status !== 507) throw new TypeError(`status ${answer.status}`);
  if ([408, 429].includes(answer.status)) throw new TypeError(`status ${answer.status}`);
  if (!answer.ok) throw new RefusedError(await answer.json().catch(() => ({})), answer.status); // a proxy's is no JSON
  const said = answer.status === 204 || options.method === "HEAD" ? {} : await answer.json();
  return { said, offset: Number(answer.headers.get("Upload-Offset")) };
}

class Upload {
  constructor(file) {
    this.file = file;
    this.key = `upload ${file.name} ${file.size} ${file.lastModified}`;
    this.size = SMALLEST;
    this.most = LARGEST;
    this.control = new AbortController();
  }

  /** Send no more of it; what is there stays, to go on with or to give up. */
  stop() {
    this.control.abort();
  }

  get ref() {
    return localStorage.getItem(this.key);
  }

  address() {
    return `${form.dataset.upload}/${this.ref}`;
  }

  /** Where the site has it to: of an upload that was begun before, or of a new one. */
  async begin(words) {
    if (this.ref) {
      try {
        return await ask(this.address(), { method: "HEAD" });
      } catch (error) {
        if (error.status !== 404) throw error; // it is there still: who signs in again goes on with it
        const made = await this.made();
        if (made) return made;
        localStorage.removeItem(this.key);
      }
    }
    const body = JSON.stringify({ ...words, name: this.file.name, size: this.file.size });
    const headers = { "Content-Type": "application/json" };
    const answer = await ask(form.dataset.upload, { method: "POST", headers, body });
    localStorage.setItem(this.key, answer.said.upload.ref);
    return answer;
  }

  /** The video that it has become, which has its ref: the answer to the last piece may have been lost. */
  async made() {
    const url = `${form.dataset.videos}/${this.ref}`;
    try {
      return { said: { ...(await ask(url)).said, url } };
    } catch (error) {
      if (error.status !== 404) throw error;
      return null;
    }
  }

  /** Send it all; gives where the video is then looked after. */
  async send(words, tell) {
    let pause = 1000;
    for (let offset = null; !this.control.signal.aborted; ) {
      try {
        const { said, offset: next } = await (offset === null ? this.begin(words) : this.piece(offset));
        if (said.video) {
          localStorage.removeItem(this.key);
          await this.correct(said, words);
          return said.url;
        }
        if (offset !== null) pause = 1000;
        offset = next;
        tell(offset);
      } catch (error) {
        if (this.control.signal.aborted) break;
        if (offset !== null && error.status === 413 && this.size > SMALLEST) {
          this.size = this.most = SMALLEST; // a proxy in between takes less at once than the site
          continue;
        }
        // A piece for another place than the site is at is no end; of anything else, trying again changes nothing.
        if (error instanceof RefusedError && (error.status !== 409 || offset === null)) throw error;
        offset = null; // the site says where to go on
        tell(null);
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(pause * 2, SLOWEST);
      }
    }
    return null;
  }

  /** An upload that went on has the words of its beginning; what was filled in since is what is meant. */
  async correct({ video, url }, words) {
    if (Object.entries(words).every(([name, value]) => video[name] === value.trim())) return;
    const headers = { "Content-Type": "application/json" };
    await ask(url, { method: "POST", headers, body: JSON.stringify(words) }).catch(() => {}); // the page shows what it is
  }

  async piece(offset) {
    const began = performance.now();
    const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
    const body = this.file.slice(offset, offset + this.size);
    const answer = await ask(this.address(), { method: "PATCH", headers, body, signal: this.control.signal });
    const took = (performance.now() - began) / 1000;
    this.size = Math.round(Math.min(Math.max((this.size * AIM) / Math.max(took, 0.05), SMALLEST), this.most, this.size * 2));
    return answer;
  }
}

const box = document.querySelector("[data-sending]");
const bar = box?.querySelector("progress");
const line = box?.querySelector("[data-line]");
const stop = box?.querySelector("[data-stop]");
let under = null;

function tell(file, offset) {
  if (offset === null) {
    line.textContent = "The connection is gone. It goes on by itself.";
    return;
  }
  bar.value = (100 * offset) / Math.max(file.size, 1);
  line.textContent = `${Math.floor(bar.value)} % of ${(file.size / 1024 ** 2).toFixed(1)} MB is there.`;
}

function halt() {
  under?.stop();
  rest("Stopped. Add the video once more to go on from there; reload the page to give it up.");
}

/** Nothing is under way any more, and `words` say why. */
function rest(words) {
  under = null;
  line.textContent = words;
  stop.hidden = true;
  form.querySelector("button").disabled = false;
}

function wrong(error) {
  const words = [...Object.values(error.errors ?? {}), ...(Object.keys(error.errors ?? {}).length ? [] : [error.message])];
  rest(words.join(" "));
}

async function send(event) {
  event.preventDefault();
  const file = form.elements.file.files[0];
  const { title, access, description } = form.elements;
  form.querySelector("button").disabled = true;
  box.hidden = stop.hidden = false;
  const upload = (under = new Upload(file));
  try {
    const words = { title: title.value, access: access.value, description: description.value };
    const address = await upload.send(words, (offset) => upload === under && tell(file, offset));
    if (upload !== under) return;
    under = null;
    if (address) location.assign(address);
  } catch (error) {
    if (upload === under) wrong(error);
  }
}

if (form) {
  form.addEventListener("submit", send);
  stop.addEventListener("click", halt);
  document.querySelector("[data-plain-only]").hidden = true;
  addEventListener("beforeunload", (event) => {
    if (under) event.preventDefault();
  });
}
