// The message list: messages in order, pending ones below, and a count of those missed while scrolled up.

const NEAR = 48; // pixels from the end that still count as the end
const MOST = 600; // messages kept in the page
const MENU_AFTER = 100; // milliseconds
const clock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

function made(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Show UTC times in the time zone of the reader. */
function ownTimes(root) {
  for (const time of root.querySelectorAll("time")) time.textContent = clock.format(new Date(time.dateTime));
}

/** Build the menu of a message, as templates/live/_parts.html does. Screen readers are not told of it as news. */
function menuOf(frame, own, admin) {
  const menu = made("details", "message-menu");
  menu.name = "message-menu";
  menu.setAttribute("aria-live", "off");
  const summary = made("summary");
  summary.append(document.querySelector("[data-more-icon]").content.cloneNode(true), made("span", "visually-hidden", "Message menu"));
  const list = made("ul");
  const add = (action, words, className) => {
    const link = made("a", className, words);
    link.href = `/live/${encodeURIComponent(frame.room)}/${frame.id}?do=${action}`;
    const item = made("li");
    item.append(link);
    list.append(item);
  };
  if (own) add("edit", "Edit");
  else add("report", "Report");
  if (own || admin) add("delete", "Delete", "danger-link");
  menu.append(summary, list);
  return menu;
}

/** Close an open menu by Escape, or by a click elsewhere. */
function closeMenus(list) {
  const close = (kept) => {
    for (const menu of list.querySelectorAll(".message-menu[open]")) if (menu !== kept) menu.open = false;
  };
  document.addEventListener("click", (event) => close(event.target.closest?.(".message-menu")));
  list.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest(".message-menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

/** Build the element of a frame, as templates/live/_parts.html does. The site escapes its HTML. */
function elementOf(frame) {
  const item = made("li", frame.deleted ? "message message-deleted" : "message");
  item.id = `m${frame.id}`;
  item.dataset.id = frame.id;
  item.dataset.changed = frame.changed;
  const head = made("p", "message-head");
  head.append(made("span", "message-name", frame.from.name || "A former member"));
  if (frame.from.admin) head.append(made("span", "badge", "admin"));
  const link = made("a", "message-time");
  link.href = `/live/${encodeURIComponent(frame.room)}/${frame.id}`;
  const time = made("time");
  time.dateTime = frame.at;
  link.append(time, made("span", "visually-hidden", ", open message"));
  head.append(link);
  if (frame.edited_at && !frame.deleted) head.append(made("span", "message-edited", "edited"));
  const body = made("div", "message-body");
  if (frame.deleted) body.append(made("p", "", "This message was deleted."));
  else body.innerHTML = frame.html;
  item.append(head, body);
  ownTimes(item);
  return item;
}

export class Log {
  constructor(root) {
    this.box = root.querySelector("[data-log]");
    this.list = root.querySelector("[data-messages]");
    this.empty = root.querySelector("[data-empty]");
    this.pill = root.querySelector("[data-pill]");
    this.older = root.querySelector("[data-older]");
    this.cursor = Number(root.dataset.cursor);
    this.waiting = new Map(); // unsent messages by client_id
    this.unseen = 0;
    this.box.addEventListener("scroll", () => this.atEnd && this.seen(), { passive: true });
    this.pill.addEventListener("click", () => this.toEnd());
    this.older.addEventListener("click", (event) => this.showOlder(event));
    this.me = root.dataset.me;
    this.admin = "admin" in root.dataset;
    closeMenus(this.list);
    ownTimes(this.list);
  }

  /** The box is laid out in reverse: its end is 0, and offsets above are negative. */
  get atEnd() {
    return Math.abs(this.box.scrollTop) < NEAR;
  }

  seen() {
    this.unseen = 0;
    this.pill.hidden = true;
  }

  toEnd() {
    this.box.scrollTop = 0;
    this.seen();
  }

  /** Add or update a message; whether it is new. */
  put(frame) {
    const missed = frame.changed > this.cursor;
    this.cursor = Math.max(this.cursor, frame.changed);
    if (frame.client_id) this.settle(frame.client_id);
    const known = document.getElementById(`m${frame.id}`);
    if (known) {
      if (Number(known.dataset.changed) < frame.changed) known.replaceWith(this.elementOf(frame));
      return false;
    }
    if (frame.deleted) return false; // sent and deleted in the meantime
    const first = this.list.querySelector("[data-id]");
    if (!this.older.parentElement.hidden && first && frame.id < Number(first.dataset.id)) return false; // on an older page
    this.place(this.elementOf(frame), this.after(frame.id));
    this.trim();
    return missed;
  }

  /** Build a message. Its menu comes a moment later, so that a screen reader announces the message alone. */
  elementOf(frame) {
    const item = elementOf(frame);
    if (!frame.deleted) setTimeout(() => item.lastChild.before(menuOf(frame, frame.from.ref === this.me, this.admin)), MENU_AFTER);
    return item;
  }

  /** The element to insert a new message before: usually the first pending one. */
  after(id) {
    const numbered = [...this.list.querySelectorAll("[data-id]")];
    const last = numbered.at(-1);
    const below = last && Number(last.dataset.id) > id ? numbered.find((item) => Number(item.dataset.id) > id) : null;
    return below ?? this.list.querySelector("[data-client]");
  }

  /** Limit the page: remove the oldest messages, which can be loaded again. */
  trim() {
    if (this.list.children.length <= MOST || !this.atEnd) return;
    while (this.list.children.length > MOST - 100) this.list.firstElementChild.remove();
    this.olderThan(this.list.querySelector("[data-id]").dataset.id);
  }

  olderThan(id) {
    this.older.href = `?before=${id}`;
    this.older.parentElement.hidden = false;
  }

  place(item, before) {
    this.empty.hidden = true;
    const follows = this.atEnd;
    const height = this.box.scrollHeight;
    const top = this.box.scrollTop;
    this.list.insertBefore(item, before ?? null);
    if (follows) this.box.scrollTop = 0;
    else if (this.box.scrollTop === top) this.box.scrollTop = top - (this.box.scrollHeight - height); // keep the reading position
  }

  /** Count a message of someone else while the reader is scrolled up. */
  told() {
    if (this.atEnd) return;
    this.unseen += 1;
    this.pill.textContent = this.unseen === 1 ? "1 new message" : `${this.unseen} new messages`;
    this.pill.hidden = false;
  }

  /** Add an own message that is being sent, below all others. */
  await(clientId, text, name) {
    const item = made("li", "message message-waiting");
    item.dataset.client = clientId;
    const head = made("p", "message-head");
    head.append(made("span", "message-name", name));
    const body = made("div", "message-body message-plain", text);
    item.append(head, body, made("p", "message-fate", "Sending…"));
    this.waiting.set(clientId, { item, text });
    this.place(item);
    this.toEnd();
  }

  /** Mark a message as failed: the reason, with buttons to retry or discard. */
  fail(clientId, words, again, discard) {
    const waiting = this.waiting.get(clientId);
    if (!waiting) return;
    waiting.item.className = "message message-failed";
    const fate = made("p", "message-fate", `Not sent. ${words}`);
    for (const [label, act] of [["Try again", again], ["Discard", discard]]) {
      const button = made("button", "", label);
      button.type = "button";
      button.addEventListener("click", () => act(clientId, waiting.text));
      fate.append(button);
    }
    waiting.item.querySelector(".message-fate").replaceWith(fate);
    waiting.failed = true;
  }

  /** Mark all pending messages as not sent; their text can be copied. */
  giveUp(words) {
    for (const { item } of this.waiting.values()) {
      item.className = "message message-failed";
      item.querySelector(".message-fate").replaceWith(made("p", "message-fate", `Not sent. ${words}`));
    }
  }

  retry(clientId) {
    const waiting = this.waiting.get(clientId);
    waiting.failed = false;
    waiting.item.className = "message message-waiting";
    waiting.item.querySelector(".message-fate").replaceWith(made("p", "message-fate", "Sending…"));
  }

  settle(clientId) {
    this.waiting.get(clientId)?.item.remove();
    this.waiting.delete(clientId);
  }

  /** Pending messages, in the order they were written. */
  unsent() {
    return [...this.waiting].filter(([, one]) => !one.failed).map(([clientId, one]) => [clientId, one.text]);
  }

  async showOlder(event) {
    event.preventDefault();
    const answer = await fetch(this.older.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer?.ok) return location.assign(this.older.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    ownTimes(page);
    const items = [...page.querySelectorAll("[data-messages] > li")].filter((item) => !document.getElementById(item.id));
    this.list.prepend(...items);
    const further = page.querySelector("[data-older]");
    if (!further.parentElement.hidden) return this.olderThan(this.list.querySelector("[data-id]").dataset.id);
    this.older.parentElement.hidden = true;
    this.box.focus();
  }
}
