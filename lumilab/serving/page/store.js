// What is kept in this browser: conversations and settings, in localStorage. The API key stays with the window.
//
// A conversation is {id, title, changed, turns}, under a name of its own, so that two windows do not undo each other's
// work. A turn is {question, answers}, and an answer {model, text, thinking, notice, error, ending, statistics}: one
// answer a turn, or two where models are compared.

const CONVERSATION = "lumilab.conversation.";
const SETTINGS = "lumilab.settings";
const KEY = "lumilab.key";

export const DEFAULTS = {
  system: "", temperature: 0.7, top_p: 0.9, top_k: 50, min_p: 0, repetition_penalty: 1.1,
  presence_penalty: 0, frequency_penalty: 0, max_tokens: 512, seed: "", stop: "",
  theme: "auto", models: [], compare: false,
};

function read(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback; // somebody else's, damaged, or forbidden: the page works all the same
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

function names() {
  try {
    return Object.keys(localStorage).filter(name => name.startsWith(CONVERSATION));
  } catch {
    return [];
  }
}

function isConversation(value) {
  return typeof value?.id === "string" && typeof value.changed === "number" && Array.isArray(value.turns) &&
    value.turns.every(turn => typeof turn?.question === "string" && Array.isArray(turn.answers));
}

export const store = {
  // Newest first.
  conversations() {
    const found = names().map(name => read(name, null)).filter(isConversation);
    return found.sort((a, b) => b.changed - a.changed);
  },

  // Where there is no room left, the oldest other conversations make it.
  keep(conversation) {
    while (!write(CONVERSATION + conversation.id, conversation)) {
      const oldest = this.conversations().filter(each => each.id !== conversation.id).at(-1);
      if (!oldest) return;
      this.forget(oldest.id);
    }
  },

  forget(id) {
    try { localStorage.removeItem(CONVERSATION + id); } catch { /* then nothing was kept */ }
  },

  forgetAll() {
    for (const name of names()) localStorage.removeItem(name);
  },

  settings: () => ({ ...DEFAULTS, ...read(SETTINGS, {}) }),
  keepSettings: settings => write(SETTINGS, settings),

  key() {
    try { return sessionStorage.getItem(KEY) ?? ""; } catch { return ""; }
  },
  keepKey(key) {
    try { sessionStorage.setItem(KEY, key); } catch { /* it is asked for again */ }
  },
};
