// Text to elements, without HTML on the way: whatever a model writes becomes text nodes. Fenced blocks and `code` are
// shown as code, **bold** as bold, and lines that begin like a list as they are, in lines of their own.

const FENCE = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^\n]*$/;
const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*)/;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Pieces of a text: {code, language} or {lines}. A fence that is not closed yet reaches to the end.
function blocks(text) {
  const found = [];
  let open = null;
  for (const line of text.split("\n")) {
    const fence = line.match(FENCE);
    if (open && fence && fence[1].startsWith(open.fence) && !fence[2]) {
      open = null;
    } else if (open) {
      open.code.push(line);
    } else if (fence) {
      open = { fence: fence[1], language: fence[2], code: [] };
      found.push(open);
    } else {
      if (!found.at(-1)?.lines) found.push({ lines: [] });
      found.at(-1).lines.push(line);
    }
  }
  return found;
}

function inline(line) {
  return line.split(INLINE).filter(Boolean).map(part => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return element("code", {}, part.slice(1, -1));
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return element("strong", {}, part.slice(2, -2));
    return document.createTextNode(part);
  });
}

function paragraphs(lines) {
  return lines.join("\n").split(/\n{2,}/).filter(text => text.trim()).map(text => {
    const made = element("p");
    text.replace(/^\n+|\n+$/g, "").split("\n").forEach((line, number) => {
      if (number) made.append(element("br"));
      made.append(...inline(line));
    });
    return made;
  });
}

function codeBlock({ code, language }) {
  const text = code.join("\n");
  const copy = element("button", { type: "button", class: "quiet small" }, "Copy");
  copy.addEventListener("click", () => copyText(text, copy));
  return element("figure", { class: "code" },
    element("figcaption", {}, element("span", {}, language || "text"), copy),
    element("pre", { tabindex: "0" }, element("code", {}, text)));
}

export function rendered(text) {
  return blocks(text).flatMap(block => (block.lines ? paragraphs(block.lines) : [codeBlock(block)]));
}

export async function copyText(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => { button.textContent = label; }, 1200);
}
