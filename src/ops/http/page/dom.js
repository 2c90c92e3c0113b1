// Makes elements. Text only ever becomes a text node, so nothing that a sensor says can become markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null && value !== false) {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// Sets a text only when it is another, so that a selection or a screen reader is not disturbed.
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

// Fills a place anew only when what it is made from is other than before.
const made = new WeakMap();
export function refill(place, from, make) {
  const key = JSON.stringify(from);
  if (made.get(place) === key) {
    return;
  }
  made.set(place, key);
  place.replaceChildren(...[make()].flat(Infinity).filter(Boolean));
}

// Shapes, so that severity is not told by colour alone.
const SHAPES = {
  critical: 'M6 0 12 6 6 12 0 6Z',
  high: 'M6 1 12 11.5 0 11.5Z',
  medium: 'M1 1H11V11H1Z',
  low: 'M6 .5A5.5 5.5 0 1 1 6 11.5 5.5 5.5 0 1 1 6 .5Z',
  info: 'M6 .5A5.5 5.5 0 1 1 6 11.5 5.5 5.5 0 1 1 6 .5ZM6 2.7A3.3 3.3 0 1 0 6 9.3 3.3 3.3 0 1 0 6 2.7Z',
  good: 'M4.4 10.6.4 6.5 2 4.9 4.4 7.3 10 1.6 11.6 3.2Z',
};

export function tag(kind, text) {
  const shape = SHAPES[kind] ?? SHAPES.info;
  return el('span', { class: `tag ${SHAPES[kind] ? kind : 'info'}` },
    svg('svg', { viewBox: '0 0 12 12', 'aria-hidden': 'true' }, svg('path', { d: shape, 'fill-rule': 'evenodd' })),
    text ?? kind);
}

export function facts(...pairs) {
  return el('dl', { class: 'facts' },
    pairs.filter(Boolean).map(([name, ...value]) => [el('dt', {}, name), el('dd', {}, ...value)]));
}
