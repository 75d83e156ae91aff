// How turns look: a question, and its answers as they grow.

import { copyText, element, rendered } from "./text.js";

const ENDINGS = {
  length: "It was cut off: the longest answer, or the model's context, was reached.",
  stopped: "Stopped.",
};

function button(label, action, title = label) {
  return element("button", { type: "button", class: "quiet small", title, onclick: action }, label);
}

export function statisticsOf({ tokens, first, seconds } = {}) {
  if (!tokens) return "";
  const plural = tokens === 1 ? "token" : "tokens";
  const rate = tokens > 1 && seconds > first ? ` · ${((tokens - 1) / (seconds - first)).toFixed(1)} tokens/s` : "";
  return `${tokens} ${plural}${rate} · first after ${Math.round(1000 * first)} ms`;
}

export class AnswerView {
  constructor(answer, compared) {
    this.answer = answer;
    this.waiting = 0;
    this.name = element("span", { class: "model" }, answer.model);
    this.thoughts = element("div", { class: "thoughts" });
    this.thinking = element("details", { class: "thinking", hidden: true }, element("summary", {}, "Thoughts"), this.thoughts);
    this.text = element("div", { class: "text" });
    this.notice = element("p", { class: "note", hidden: true });
    this.figures = element("span", { class: "figures" });
    this.root = element("article", { class: compared ? "answer compared" : "answer", "aria-label": `Answer of ${answer.model}` },
      this.name, this.thinking, this.text, this.notice, element("footer", {}, this.figures));
    this.draw();
  }

  // Asked for at every piece; done once a frame.
  refresh() {
    this.waiting ||= requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  draw() {
    const { text, thinking, notice, error, ending, statistics, running } = this.answer;
    this.root.classList.toggle("running", Boolean(running));
    this.root.setAttribute("aria-busy", String(Boolean(running)));
    this.thinking.hidden = !thinking;
    if (thinking) this.thoughts.textContent = thinking;
    this.text.replaceChildren(...rendered(text));
    const notes = [notice, error, ENDINGS[ending]].filter(Boolean);
    this.notice.hidden = !notes.length;
    this.notice.classList.toggle("error", Boolean(error));
    this.notice.textContent = notes.join(" ");
    this.figures.textContent = statisticsOf(statistics);
  }

  actions(...buttons) {
    this.root.querySelector("footer").append(...buttons);
  }
}

export class TurnView {
  constructor(turn, actions) {
    this.answers = turn.answers.map(answer => new AnswerView(answer, turn.answers.length > 1));
    this.asked = element("div", { class: "question" }, element("p", {}, turn.question));
    this.tools = element("div", { class: "tools" },
      button("Edit", () => this.edit(turn, actions.edit), "Change this question; what follows is asked anew"),
      button("Regenerate", actions.regenerate, "Answer this question again"));
    for (const view of this.answers) {
      const copy = button("Copy", () => copyText(view.answer.text, copy), "Copy the answer");
      view.actions(copy);
    }
    this.root = element("div", { class: "turn" }, this.asked, this.tools,
      element("div", { class: `answers of-${turn.answers.length}` }, ...this.answers.map(view => view.root)));
  }

  edit(turn, done) {
    const field = element("textarea", { rows: "3", "aria-label": "Your question" });
    field.value = turn.question;
    const close = () => { editor.remove(); this.asked.hidden = this.tools.hidden = false; };
    const send = () => { if (field.value.trim()) { close(); done(field.value.trim()); } };
    const editor = element("div", { class: "editor" }, field,
      element("div", { class: "tools" }, button("Cancel", close), button("Ask again", send)));
    field.addEventListener("keydown", event => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
      if (event.key === "Escape") { event.stopPropagation(); close(); }
    });
    this.asked.hidden = this.tools.hidden = true;
    this.asked.before(editor);
    field.focus();
  }
}

export function emptyView(names, ask) {
  const ideas = ["What can you do?", "Tell me a short story about a lighthouse.", "Explain why the sky is blue."];
  return element("div", { class: "empty" },
    element("h1", {}, names.length ? `Talk with ${names.join(" and ")}` : "Lumilab"),
    element("p", {}, "Conversations stay in this browser. A small model makes things up; do not rely on what it says."),
    element("div", { class: "ideas" },
      ...ideas.map(idea => element("button", { type: "button", class: "idea", onclick: () => ask(idea) }, idea))));
}
