// Ask the site at growing intervals whether the payment is confirmed, then reload the page.

const words = document.querySelector("[data-waiting]");
const FIRST = 700;
const SLOWEST = 5000;
const LATE = 45_000; // milliseconds until the page says that it takes longer than usual

/** Whether the payment is settled; false also when the site does not answer. */
async function isOver() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "application/json" } });
    return answer.ok && (await answer.json()).state !== "waiting";
  } catch {
    return false;
  }
}

async function wait() {
  const began = Date.now();
  for (let pause = FIRST; !(await isOver()); pause = Math.min(pause * 1.3, SLOWEST)) {
    if (Date.now() - began > LATE && words.textContent !== words.dataset.late) words.textContent = words.dataset.late;
    await new Promise((done) => setTimeout(done, pause));
  }
  location.reload();
}

if (words) wait();
