// Show import progress: poll every two seconds, and reload the page once an import is done.

const PAUSE = 2000;
const waiting = new Map([...document.querySelectorAll("[data-unsettled]")].map((box) => [box.dataset.unsettled, box]));

/** The state of unfinished imports; null while the site does not respond. */
async function ask() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "application/json" } });
    if (!answer.ok) return null;
    const said = await answer.json();
    return said.videos ?? [said.video];
  } catch {
    return null;
  }
}

/** Update one progress bar; whether the rest of the page is still right. */
function show(video) {
  const box = waiting.get(video.ref);
  if (!box) return true;
  const bar = box.querySelector("progress");
  if (bar) bar.value = video.progress;
  return ["queued", "working"].includes(video.state) && (video.state === "working") === (box.dataset.state !== "queued");
}

async function watch() {
  for (;;) {
    await new Promise((done) => setTimeout(done, PAUSE));
    const videos = document.hidden ? null : await ask();
    if (videos && !videos.map(show).every(Boolean)) {
      location.reload();
      return;
    }
  }
}

if (waiting.size) watch();
