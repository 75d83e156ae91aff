"""How well the words of a page stand out, measured in a browser."""

# The ratio of WCAG 2.1 (section 1.4.3) for every element that shows text of its own, with the words and colours.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgb(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  document.querySelectorAll('details').forEach(each => each.open = true);
  const shown = [...document.querySelectorAll('body *')].filter(each =>
    !['TITLE', 'title', 'desc'].includes(each.tagName) &&
    [...each.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.textContent.trim()));
  return shown.map(each => {
    const style = getComputedStyle(each);
    const front = luminance(rgb(each.namespaceURI.endsWith('svg') ? style.fill : style.color));
    const back = luminance(behind(each));
    const [low, high] = [Math.min(front, back), Math.max(front, back)];
    return [(high + 0.05) / (low + 0.05), each.tagName + ': ' + each.textContent.slice(0, 40)];
  });
}"""
