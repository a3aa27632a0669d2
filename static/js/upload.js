// Upload a video in pieces, so that an interrupted upload continues: automatically after a lost connection, and when the
// same file is chosen again after the window was closed. Without scripts the form sends the whole file, up to a small size.

const SMALLEST = 256 * 1024;
const LARGEST = 4 * 1024 * 1024; // the largest piece that the site accepts
const AIM = 3; // seconds that a piece should take
const SLOWEST = 30_000; // milliseconds between two tries

const form = document.querySelector("[data-upload]");

/** The site refused the request; `errors` are keyed by field. */
class RefusedError extends Error {
  constructor(said, status) {
    super(said.detail ?? "The site refused it.");
    this.errors = said.errors ?? {};
    this.status = status;
  }
}

/** Send a request. Throws RefusedError if a retry is pointless, TypeError otherwise. */
async function ask(address, options = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": form.elements.csrf_token.value, ...options.headers };
  const answer = await fetch(address, { ...options, headers });
  if (answer.status >= 500 && answer.status !== 507) throw new TypeError(`status ${answer.status}`);
  if ([408, 429].includes(answer.status)) throw new TypeError(`status ${answer.status}`);
  if (!answer.ok) throw new RefusedError(await answer.json().catch(() => ({})), answer.status); // an answer from a proxy is not JSON
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

  /** Stop sending. What was uploaded stays, to continue or cancel. */
  stop() {
    this.control.abort();
  }

  get ref() {
    return localStorage.getItem(this.key);
  }

  address() {
    return `${form.dataset.upload}/${this.ref}`;
  }

  /** The offset to continue from, of an earlier upload or a new one. */
  async begin(words) {
    if (this.ref) {
      try {
        return await ask(this.address(), { method: "HEAD" });
      } catch (error) {
        if (error.status !== 404) throw error; // the upload still exists: sign in again to continue it
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

  /** The finished video, which has the ref of the upload: the last answer may have been lost. */
  async made() {
    const url = `${form.dataset.videos}/${this.ref}`;
    try {
      return { said: { ...(await ask(url)).said, url } };
    } catch (error) {
      if (error.status !== 404) throw error;
      return null;
    }
  }

  /** Send every piece; returns the address of the admin page of the video. */
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
          this.size = this.most = SMALLEST; // a proxy in between accepts smaller requests only
          continue;
        }
        // A wrong offset can be corrected; other refusals are final.
        if (error instanceof RefusedError && (error.status !== 409 || offset === null)) throw error;
        offset = null; // ask the site for the offset
        tell(null);
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(pause * 2, SLOWEST);
      }
    }
    return null;
  }

  /** A continued upload has its old title and description: replace them with what the form says now. */
  async correct({ video, url }, words) {
    if (Object.entries(words).every(([name, value]) => video[name] === value.trim())) return;
    const headers = { "Content-Type": "application/json" };
    await ask(url, { method: "POST", headers, body: JSON.stringify(words) }).catch(() => {}); // the page shows the current values
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
    line.textContent = "Connection lost. The upload continues when it is back.";
    return;
  }
  bar.value = (100 * offset) / Math.max(file.size, 1);
  line.textContent = `${Math.floor(bar.value)} % of ${(file.size / 1024 ** 2).toFixed(1)} MB uploaded.`;
}

function halt() {
  under?.stop();
  rest("Upload stopped. Add the video again to continue. To cancel it, reload the page.");
}

/** End the upload and show `words`. */
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
