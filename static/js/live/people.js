// Who is in the room, who is writing, and notices of the site.

const FORGOTTEN = 6000; // milliseconds until a typing mark expires
const MOST = 50; // names shown

export class People {
  constructor(root) {
    this.me = root.dataset.me;
    this.part = root.querySelector("[data-people]");
    this.count = root.querySelector("[data-people-count]");
    this.list = root.querySelector("[data-people-list]");
    this.line = root.querySelector("[data-typing]");
    this.notices = root.querySelector("[data-notices]");
    this.writing = new Map(); // name and timer, by ref
  }

  show(frame) {
    this.part.hidden = false;
    const count = frame.count ?? frame.members.length;
    this.count.textContent = count;
    const names = frame.members.slice(0, MOST).map((person) => {
      const item = document.createElement("li");
      item.textContent = person.ref === this.me ? `${person.name} (you)` : person.name;
      return item;
    });
    if (count > names.length) names.push(Object.assign(document.createElement("li"), { textContent: `and ${count - names.length} more` }));
    this.list.replaceChildren(...names);
    this.names = new Map(frame.members.map((person) => [person.ref, person.name]));
    for (const ref of this.writing.keys()) if (!this.names.has(ref)) this.stopped(ref);
  }

  gone() {
    this.part.hidden = true;
    for (const ref of [...this.writing.keys()]) this.stopped(ref);
  }

  writes(person) {
    if (person.ref === this.me) return;
    clearTimeout(this.writing.get(person.ref)?.timer);
    const timer = setTimeout(() => this.stopped(person.ref), FORGOTTEN);
    this.writing.set(person.ref, { name: person.name, timer });
    this.tell();
  }

  stopped(ref) {
    clearTimeout(this.writing.get(ref)?.timer);
    if (this.writing.delete(ref)) this.tell();
  }

  tell() {
    const names = [...this.writing.values()].map((one) => one.name);
    if (names.length > 3) this.line.textContent = "Several people are writing…";
    else if (names.length) this.line.textContent = `${names.join(", ")} ${names.length === 1 ? "is" : "are"} writing…`;
    else this.line.textContent = "";
  }

  notify(frame) {
    const box = document.createElement("div");
    box.className = "flash";
    const words = document.createElement(frame.url ? "a" : "span");
    words.textContent = frame.title;
    if (frame.url) words.href = frame.url;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "×";
    button.setAttribute("aria-label", "Dismiss");
    button.addEventListener("click", () => box.remove());
    box.append(words, button);
    this.notices.append(box);
    while (this.notices.children.length > 3) this.notices.firstChild.remove();
  }
}
