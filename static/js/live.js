// A live room: puts the parts together. Each is a module of its own, which the page names by its versioned address.

const ENDED = {
  4401: "You are signed out. Sign in again, then reload the page.",
  4403: "This room is no longer open to you.",
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
      send(clientId, text); // without a line it waits: room_joined sends it
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

/** Says how the line is. The seconds until the next try are for the eye alone: nobody wants them read out. */
function stateOf(root) {
  const row = root.querySelector("[data-state-row]");
  const words = root.querySelector("[data-state]");
  const more = root.querySelector("[data-state-more]");
  let counting;
  return (is, detail) => {
    clearInterval(counting);
    more.textContent = "";
    row.dataset.is = is;
    if (is === "live") words.textContent = "Live.";
    else if (is === "over") words.textContent = ENDED[detail];
    else if (is === "waiting") {
      words.textContent = "The connection is lost. It is tried again; what you write waits.";
      const until = Date.now() + detail;
      const count = () => (more.textContent = `Next try in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s.`);
      counting = setInterval(count, 500);
      count();
    } else if (!words.textContent.startsWith("The connection")) words.textContent = "Connecting…";
  };
}

const root = document.querySelector("[data-live]");
if (root) begin(root);
