// The page: which conversation is shown, what is asked, what is running.

import { ApiError, listModels, streamChat } from "./api.js";
import { Settings } from "./settings.js";
import { store } from "./store.js";
import { element } from "./text.js";
import { TurnView, emptyView } from "./view.js";

const THEMES = { auto: "Theme: as the system's", light: "Theme: light", dark: "Theme: dark" };
const TITLE_LENGTH = 60;
const NEAR_END = 80; // pixels: who is so near the end wants to see what comes

const $ = id => document.getElementById(id);
const pickers = [$("model-0"), $("model-1")];

class Page {
  constructor() {
    this.settings = new Settings();
    this.conversation = null;
    this.running = null; // AbortController of the answers that are being made
    this.views = [];
    this.models = [];
    this.listen();
    this.applyTheme();
    this.start();
    this.list();
    this.loadModels();
  }

  get values() { return this.settings.values; }

  // --- models -------------------------------------------------------------------------------------------------------

  async loadModels() {
    try {
      this.models = (await listModels()).map(model => model.id);
    } catch (error) {
      if (error.status === 401) this.settings.open(true);
      else this.say(`The models cannot be listed: ${error.message}`, true);
      return;
    }
    pickers.forEach((picker, lane) => {
      picker.replaceChildren(...this.models.map(name => element("option", { value: name }, name)));
      const wanted = this.values.models[lane];
      picker.value = this.models.includes(wanted) ? wanted : this.models[Math.min(lane, this.models.length - 1)];
    });
    $("compare").checked = this.values.compare;
    this.chooseModels();
  }

  chooseModels() {
    this.values.models = pickers.map(picker => picker.value);
    this.values.compare = $("compare").checked;
    pickers[1].hidden = !this.values.compare;
    document.body.classList.toggle("comparing", this.values.compare);
    this.settings.keep();
    if (!this.conversation.turns.length) this.draw();
  }

  chosen() {
    return pickers.slice(0, this.values.compare ? 2 : 1).map(picker => picker.value).filter(Boolean);
  }

  // --- conversations ------------------------------------------------------------------------------------------------

  start(conversation = { id: crypto.randomUUID?.() ?? String(Math.random()), title: "", changed: 0, turns: [] }) {
    this.stop();
    this.conversation = conversation;
    this.draw();
    this.list();
    this.toggleMenu(false);
  }

  keep() {
    const conversation = this.conversation;
    conversation.changed = Date.now();
    conversation.title = conversation.turns[0]?.question.slice(0, TITLE_LENGTH) ?? "";
    const bare = turn => ({ ...turn, answers: turn.answers.map(({ running, ...answer }) => answer) });
    store.keep({ ...conversation, turns: conversation.turns.map(bare) });
    this.list();
  }

  list() {
    $("conversations").replaceChildren(...store.conversations().map(each => {
      const open = element("button", { type: "button", class: "open", title: each.title,
        "aria-current": each.id === this.conversation?.id && "true", onclick: () => this.start(each) }, each.title);
      const remove = element("button", { type: "button", class: "remove", "aria-label": `Delete ${each.title}`,
        onclick: () => this.confirm(remove, () => this.remove(each.id)) }, "×");
      return element("li", {}, open, remove);
    }));
    $("forget").hidden = !$("conversations").children.length;
  }

  remove(id) {
    store.forget(id);
    if (id === this.conversation.id) this.start();
    this.list();
  }

  // A second press does it; looking away takes it back.
  confirm(button, action) {
    if (button.dataset.sure) return action();
    const label = button.textContent;
    button.dataset.sure = "yes";
    button.textContent = "Delete?";
    const back = () => { delete button.dataset.sure; button.textContent = label; };
    button.addEventListener("blur", back, { once: true });
    return undefined;
  }

  // --- asking -------------------------------------------------------------------------------------------------------

  ask(question) {
    const models = this.chosen();
    if (!question || !models.length || this.running) return;
    const answers = models.map(model => ({ model, text: "", thinking: "", running: true }));
    this.conversation.turns.push({ question, answers });
    this.draw();
    this.scroll(true);
    this.run(this.conversation, answers, this.views.at(-1).answers);
  }

  askAgain(number, question) {
    this.stop();
    this.conversation.turns.length = number;
    this.ask(question);
  }

  async run(conversation, answers, views) {
    const controller = new AbortController();
    this.running = controller;
    this.showRunning();
    this.keep();
    await Promise.all(answers.map((answer, lane) => this.answer(conversation, answer, lane, views[lane], controller.signal)));
    for (const answer of answers) answer.running = false;
    for (const view of views) view.draw();
    if (this.running === controller) this.running = null;
    this.showRunning();
    if (conversation === this.conversation) this.keep();
    else if (conversation.turns.length) store.keep(conversation);
    this.say(answers.some(answer => answer.error) ? "The answer failed." : "The answer is complete.");
  }

  async answer(conversation, answer, lane, view, signal) {
    for (let forgotten = 0; ; forgotten += 1) {
      try {
        await this.receive(answer, this.messages(conversation, lane, forgotten), view, signal);
        break;
      } catch (error) {
        if (error.name === "AbortError") answer.ending = "stopped";
        else if (error.code === "context_length_exceeded" && forgotten + 1 < conversation.turns.length) {
          const turns = forgotten ? `The ${forgotten + 1} oldest questions were` : "The oldest question was";
          answer.notice = `${turns} left out: the conversation has outgrown the model's context.`;
          continue;
        } else answer.error = error instanceof ApiError ? error.message : `The server cannot be reached (${error.message}).`;
        if (error.status === 401) this.settings.open(true);
        break;
      }
    }
    answer.running = false;
    view.draw();
  }

  messages(conversation, lane, forgotten) {
    const system = this.values.system.trim();
    const messages = system ? [{ role: "system", content: this.values.system }] : [];
    const turns = conversation.turns.slice(forgotten);
    turns.forEach((turn, number) => {
      messages.push({ role: "user", content: turn.question });
      const said = (turn.answers[lane] ?? turn.answers[0])?.text;
      if (number < turns.length - 1 && said) messages.push({ role: "assistant", content: said });
    });
    return messages;
  }

  async receive(answer, messages, view, signal) {
    const begun = performance.now();
    const now = () => (performance.now() - begun) / 1000;
    const statistics = { tokens: 0, first: 0, seconds: 0 };
    const asked = { ...this.settings.request(), model: answer.model, messages };
    for await (const { choices, usage } of streamChat(asked, signal)) {
      const [choice] = choices;
      const { content, reasoning_content: thought } = choice?.delta ?? {};
      if (content || thought) {
        statistics.tokens += 1;
        statistics.first ||= now();
        statistics.seconds = now();
        answer.text += content ?? "";
        answer.thinking += thought ?? "";
        answer.statistics = statistics;
      }
      if (choice?.finish_reason) answer.ending = choice.finish_reason;
      if (usage && statistics.tokens) statistics.tokens = usage.completion_tokens;
      view.refresh();
      this.scroll();
    }
  }

  stop() {
    this.running?.abort();
    this.running = null;
  }

  // --- what is seen -------------------------------------------------------------------------------------------------

  draw() {
    const { turns } = this.conversation;
    this.views = turns.map((turn, number) => new TurnView(turn, {
      edit: question => this.askAgain(number, question),
      regenerate: () => this.askAgain(number, turn.question),
    }));
    const shown = turns.length ? this.views.map(view => view.root) : [emptyView(this.chosen(), idea => this.ask(idea))];
    $("turns").replaceChildren(...shown);
    document.title = turns.length ? `${turns[0].question.slice(0, TITLE_LENGTH)} · Lumilab` : "Lumilab";
    this.scroll(true);
  }

  showRunning() {
    $("send").hidden = Boolean(this.running);
    $("stop").hidden = !this.running;
  }

  scroll(always = false) {
    const place = $("scroller");
    const near = place.scrollHeight - place.scrollTop - place.clientHeight < NEAR_END;
    if (always || near) requestAnimationFrame(() => { place.scrollTop = place.scrollHeight; });
  }

  say(text, shown = false) {
    $("status").textContent = text;
    $("status").classList.toggle("unseen", !shown);
  }

  applyTheme() {
    const { theme } = this.values;
    document.documentElement.dataset.theme = theme;
    $("theme").textContent = THEMES[theme] ?? THEMES.auto;
  }

  toggleMenu(open = !document.body.classList.contains("menu-open")) {
    document.body.classList.toggle("menu-open", open);
    $("veil").hidden = !open;
    $("menu").setAttribute("aria-expanded", String(open));
  }

  // --- what is done -------------------------------------------------------------------------------------------------

  listen() {
    const field = $("question");
    const send = event => {
      event?.preventDefault();
      const question = field.value.trim();
      if (!question || this.running || !this.chosen().length) return;
      field.value = "";
      fit();
      this.ask(question);
    };
    const fit = () => { field.style.height = "auto"; field.style.height = `${field.scrollHeight}px`; };
    $("composer").addEventListener("submit", send);
    field.addEventListener("input", fit);
    field.addEventListener("keydown", event => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
      if (event.key === "ArrowUp" && !field.value) { event.preventDefault(); this.editLast(); }
    });
    $("stop").addEventListener("click", () => this.stop());
    $("new").addEventListener("click", () => { this.start(); field.focus(); });
    $("forget").addEventListener("click", event => this.confirm(event.target, () => { store.forgetAll(); this.start(); }));
    $("menu").addEventListener("click", () => this.toggleMenu());
    $("veil").addEventListener("click", () => this.toggleMenu(false));
    $("theme").addEventListener("click", () => this.nextTheme());
    $("settings").addEventListener("close", () => { if (!this.models.length) this.loadModels(); });
    for (const control of [...pickers, $("compare")]) control.addEventListener("change", () => this.chooseModels());
    document.addEventListener("keydown", event => {
      if (event.key === "Escape" && !$("settings").open) { this.stop(); this.toggleMenu(false); }
    });
    globalThis.addEventListener("storage", () => this.list());
    field.focus();
  }

  editLast() {
    this.views.at(-1)?.tools.querySelector("button").click();
  }

  nextTheme() {
    const names = Object.keys(THEMES);
    this.values.theme = names[(names.indexOf(this.values.theme) + 1) % names.length];
    this.settings.keep();
    this.applyTheme();
  }
}

new Page();
