// The settings: how answers are drawn, what the model is told first, the key.

import { DEFAULTS, store } from "./store.js";
import { element } from "./text.js";

const CONTROLS = [
  ["temperature", "Temperature", 0, 2, 0.05, "0 for always the most likely token"],
  ["top_p", "Top p", 0.05, 1, 0.05, "draw among the tokens that hold this probability"],
  ["top_k", "Top k", 0, 200, 1, "draw among so many tokens; 0 for all"],
  ["min_p", "Min p", 0, 1, 0.01, "drop tokens less likely than this share of the best"],
  ["repetition_penalty", "Repetition penalty", 1, 2, 0.05, "above 1, seen tokens are less likely"],
  ["presence_penalty", "Presence penalty", -2, 2, 0.1, "taken from each token said before"],
  ["frequency_penalty", "Frequency penalty", -2, 2, 0.1, "the same, as often as it was said"],
];
const NUMBERS = [
  ["max_tokens", "Longest answer, in tokens", 1],
  ["seed", "Seed, empty for another answer each time", 0],
];
const $ = id => document.getElementById(id);

export class Settings {
  constructor() {
    this.values = store.settings();
    this.dialog = $("settings");
    this.build();
    this.show();
    $("open-settings").addEventListener("click", () => this.open());
    $("close-settings").addEventListener("click", () => this.dialog.close());
    $("key-form").addEventListener("submit", event => { event.preventDefault(); this.dialog.close(); });
    $("reset").addEventListener("click", () => this.reset());
    this.dialog.addEventListener("click", event => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("input", () => this.take());
  }

  build() {
    for (const [name, label, min, max, step, help] of CONTROLS) {
      const output = element("output", { id: `${name}-shown`, for: name });
      const slider = element("input", { type: "range", id: name, min, max, step, "aria-describedby": `${name}-help` });
      const title = element("label", { for: name }, label);
      $("controls").append(element("div", { class: "control" },
        title, output, slider, element("small", { id: `${name}-help` }, help)));
    }
    for (const [name, label, min] of NUMBERS) {
      $("controls").append(element("label", { class: "field" }, label,
        element("input", { type: "number", id: name, min, step: 1, inputmode: "numeric" })));
    }
  }

  show() {
    for (const [name] of [...CONTROLS, ...NUMBERS]) $(name).value = this.values[name];
    $("system").value = this.values.system;
    $("stop-strings").value = this.values.stop;
    $("key").value = store.key();
    this.showNumbers();
  }

  showNumbers() {
    for (const [name, , , , step] of CONTROLS) {
      $(`${name}-shown`).textContent = this.values[name].toFixed(step < 1 ? 2 : 0);
    }
  }

  take() {
    for (const [name] of CONTROLS) this.values[name] = Number($(name).value);
    this.values.max_tokens = Math.max(1, Math.floor(Number($("max_tokens").value)) || DEFAULTS.max_tokens);
    this.values.seed = $("seed").value;
    this.values.system = $("system").value;
    this.values.stop = $("stop-strings").value;
    store.keepKey($("key").value.trim());
    this.showNumbers();
    this.keep();
  }

  reset() {
    const { theme, models, compare } = this.values;
    this.values = { ...DEFAULTS, theme, models, compare };
    this.show();
    this.keep();
  }

  keep() {
    store.keepSettings(this.values);
  }

  open(keyWanted = false) {
    $("key-wanted").hidden = !keyWanted;
    if (!this.dialog.open) this.dialog.showModal();
    if (keyWanted) $("key").focus();
  }

  // The fields of a request.
  request() {
    const { system, stop, seed, theme, models, compare, ...sampling } = this.values;
    const strings = stop.split("\n").filter(Boolean);
    return {
      ...sampling,
      ...(strings.length && { stop: strings }),
      ...(seed !== "" && { seed: Math.floor(Number(seed)) }),
    };
  }
}
