// Connect the parts of a chat room. The page lists each module by its versioned address.

const ENDED = {
  4401: "You are signed out. Sign in again, then reload the page.",
  4403: "You no longer have access to this room.",
};

async function begin(root) {
  const { moduleSocket, moduleMessages, moduleComposer, modulePeople } = root.dataset;
  const [{ Line }, { Log }, { Composer }, { People }] = await Promise.all(
    [moduleSocket, moduleMessages, moduleComposer, modulePeople].map((address) => import(address)),
  );
  const room = root.dataset.room;
  const me = root.dataset.me;
  const log = new Log(root);
  const people = new People(root);
  const state = stateOf(root);

  const send = (clientId, text) => line.send({ type: "chat", room, message: text, client_id: clientId });
  const discard = (clientId, text) => {
    log.settle(clientId);
    composer.field.value ||= text;
    composer.field.focus();
  };
  const again = (clientId, text) => {
    log.retry(clientId);
    send(clientId, text);
  };
  const composer = new Composer(root.querySelector("[data-composer]"), {
    say(text) {
      const clientId = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
      log.await(clientId, text, root.dataset.name);
      send(clientId, text); // offline messages wait until room_joined
    },
    typing: () => line.send({ type: "typing", room }),
  });

  const heard = {
    room_joined: () => log.unsent().forEach(([clientId, text]) => send(clientId, text)),
    chat(frame) {
      if (frame.room !== room) return;
      people.stopped(frame.from.ref);
      if (log.put(frame) && frame.from.ref !== me) log.told();
    },
    presence: (frame) => frame.room === room && people.show(frame),
    typing: (frame) => frame.room === room && people.writes(frame.from),
    notification: (frame) => people.notify(frame),
    error(frame) {
      if (frame.code === "rate_limited") composer.wait(frame.retry_after);
      if (frame.client_id) log.fail(frame.client_id, frame.detail, again, discard);
    },
  };
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const line = new Line(`${scheme}//${location.host}/ws`, room, {
    cursor: () => log.cursor,
    frame: (frame) => heard[frame.type]?.(frame),
    state(is, detail) {
      state(is, detail);
      if (is !== "live") people.gone();
      if (is !== "over") return;
      composer.shut();
      log.giveUp(ENDED[detail]);
    },
  });
}

/** Show the connection state. Screen readers skip the countdown to the next try. */
function stateOf(root) {
  const row = root.querySelector("[data-state-row]");
  const words = root.querySelector("[data-state]");
  const more = root.querySelector("[data-state-more]");
  let counting;
  return (is, detail) => {
    clearInterval(counting);
    more.textContent = "";
    row.dataset.is = is;
    if (is === "live") words.textContent = "Connected.";
    else if (is === "over") words.textContent = ENDED[detail];
    else if (is === "waiting") {
      words.textContent = "Connection lost. Trying again. Messages you write now are sent later.";
      const until = Date.now() + detail;
      const count = () => (more.textContent = `Next try in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s.`);
      counting = setInterval(count, 500);
      count();
    } else if (!words.textContent.startsWith("Connection lost")) words.textContent = "Connecting…";
  };
}

const root = document.querySelector("[data-live]");
if (root) begin(root);
