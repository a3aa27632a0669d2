// The connection to /ws: authenticate by cookie, load missed messages, reconnect automatically.

const QUIET = 30_000; // milliseconds without a frame until it sends a ping
const ANSWER = 10_000; // milliseconds to wait for the pong
const FIRST = 500;
const SLOWEST = 30_000;
const STAYS = 15_000; // milliseconds after which a connection counts as stable
const SIGNED_OUT = 4401;
const CLOSED_TO_YOU = 4403;
const TOO_MANY = 4429;
const NOT_NOW = 1013;
const SHUT = new Set(["forbidden", "banned", "unknown_room"]);

/**
 * A connection that reconnects. `on` has: frame(object), state("connecting" | "live" | "waiting" | "over", detail), and
 * cursor(), the newest change that the page has. It never sends twice: the owner resends what has no answer.
 */
export class Line {
  constructor(address, room, on) {
    Object.assign(this, { address, room, on, failures: 0, socket: null, timers: new Set(), joined: false });
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    this.open();
  }

  /** Send a frame; false if there is no connection or the room is not joined yet. */
  send(frame) {
    if (!this.joined) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  open() {
    this.forget();
    this.on.state("connecting");
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.addEventListener("message", (event) => this.socket === socket && this.hear(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.socket === socket && this.lost(event.code));
    this.watch();
  }

  hear(frame) {
    this.watch();
    const say = (answer) => this.socket.send(JSON.stringify(answer));
    if (frame.type === "welcome") say({ type: "auth" });
    else if (frame.type === "auth_success") say({ type: "history", room: this.room, after: this.on.cursor() });
    else if (frame.type === "room_joined" && frame.room === this.room) this.enter();
    else if (frame.type === "error" && !this.joined) return this.refused(frame);
    this.on.frame(frame);
  }

  enter() {
    this.joined = true;
    this.later(STAYS, () => (this.failures = 0));
    this.on.state("live");
  }

  /** Joining failed, for good or for now. */
  refused(frame) {
    if (SHUT.has(frame.code)) return this.end(CLOSED_TO_YOU);
    this.socket.close();
    this.lost(NOT_NOW);
  }

  lost(code) {
    if (code === SIGNED_OUT || code === CLOSED_TO_YOU) return this.end(code);
    this.forget();
    this.socket = null; // its close event is not a second failure
    this.failures += code === TOO_MANY ? 4 : 1;
    const longest = Math.min(SLOWEST, FIRST * 2 ** this.failures);
    const pause = Math.round(longest * (0.5 + Math.random() / 2)); // spread out reconnects of many pages
    this.due = Date.now() + pause;
    this.on.state("waiting", pause);
    this.later(pause, () => this.open());
  }

  /** Give up: the page must be reloaded. */
  end(code) {
    this.forget();
    const socket = this.socket;
    this.socket = null;
    this.over = true;
    socket?.close();
    this.on.state("over", code);
  }

  /** The window is visible or the network is back: retry now. */
  hurry() {
    if (!this.over && this.due && this.due - Date.now() > FIRST) this.open();
  }

  /** Restart the silence timer. Browsers hide protocol pings from scripts, so the page sends its own. */
  watch() {
    clearTimeout(this.silence);
    const dead = () => {
      this.socket?.close();
      this.lost(1006);
    };
    this.silence = setTimeout(() => {
      if (this.socket?.readyState !== WebSocket.OPEN) return dead();
      this.socket.send('{"type":"ping"}');
      this.silence = setTimeout(dead, ANSWER);
    }, QUIET);
  }

  later(pause, act) {
    this.timers.add(setTimeout(act, pause));
  }

  forget() {
    this.joined = false;
    this.due = 0;
    clearTimeout(this.silence);
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
  }
}
