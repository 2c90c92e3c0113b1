// The picture of the last hour, and its table.

import { el, svg } from './dom.js';
import { limitText, number, valueText, wallNow, bootNow } from './words.js';

const WIDTH = 240;
const HEIGHT = 40;
// Limits further away than this many times the span of the values would make a flat line of them.
const FAR = 20;

// The limits that are a height in the picture.
function lines(limits) {
  return limits.flatMap(({ condition, limit, severity, alarm }) => {
    const values = { high: [limit], low: [limit], outside: limit }[condition] ?? [];
    return values.filter((value) => typeof value === 'number').map((value) => ({ value, severity, alarm }));
  });
}

function scale(points, limits) {
  let low = Math.min(...points.map((point) => point[1]));
  let high = Math.max(...points.map((point) => point[2]));
  const span = high - low || Math.abs(high) * 0.1 || 1;
  const shown = limits.filter(({ value }) => value > low - span * FAR && value < high + span * FAR);
  for (const { value } of shown) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const room = (high - low || span) * 0.08;
  const [bottom, top] = [low - room, high + room];
  return { shown, y: (value) => ((top - value) / (top - bottom)) * HEIGHT };
}

// Stretches without a gap: a sensor that speaks seldom is joined over its usual pause.
function stretches(points) {
  const gaps = points.slice(1).map((point, index) => point[0] - points[index][0]).sort((a, b) => a - b);
  const usual = gaps[Math.floor(gaps.length / 2)] ?? 1;
  const longest = Math.max(3, usual * 2.5);
  const all = [];
  points.forEach((point, index) => {
    if (index === 0 || point[0] - points[index - 1][0] > longest) {
      all.push([]);
    }
    all.at(-1).push(point);
  });
  return all;
}

export function picture(sensor, setup) {
  const now = Math.floor(bootNow() / setup.bucketMs);
  const points = sensor.points.filter((point) => point[0] > now - setup.pointsMax);
  if (points.length === 0) {
    return null;
  }
  const { shown, y } = scale(points, lines(sensor.limits));
  const x = (slot) => WIDTH - ((now - slot) / (setup.pointsMax - 1)) * WIDTH;
  const at = (slot, value) => `${x(slot).toFixed(1)} ${y(value).toFixed(1)}`;
  const curves = stretches(points);
  const last = points.at(-1);
  const least = Math.min(...points.map((point) => point[1]));
  const greatest = Math.max(...points.map((point) => point[2]));
  const label = `Last hour: ${number(least)} to ${valueText(greatest, sensor.unit)}${sensor.limits.map((limit) => `; ${limit.alarm}: ${limitText(limit.condition, limit.limit, sensor.unit)}`).join('')}`;
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    svg('line', { class: 'base', x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
    shown.map(({ value, severity }) => svg('line', { class: `limit ${severity}`, x1: 0, x2: WIDTH, y1: y(value).toFixed(1), y2: y(value).toFixed(1) })),
    curves.filter((curve) => curve.length > 1).map((curve) => svg('path', {
      class: 'band',
      d: `M${curve.map((point) => at(point[0], point[2])).join('L')}L${curve.toReversed().map((point) => at(point[0], point[1])).join('L')}Z`,
    })),
    curves.map((curve) => svg('path', {
      class: 'curve',
      // One point alone is a short stroke.
      d: `M${curve.map((point) => at(point[0], point[3])).join('L')}${curve.length === 1 ? 'h1.5' : ''}`,
    })),
    svg('path', { class: 'curve tip', d: `M${at(last[0], last[3])}h0` }));
}

const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export function table(sensor, setup) {
  const start = wallNow() - bootNow();
  return el('div', { class: 'table', tabindex: '0' }, el('table', {},
    el('caption', {}, `${sensor.name}, newest first${sensor.unit ? `, in ${sensor.unit}` : ''}`),
    el('thead', {}, el('tr', {}, ['from', 'least', 'greatest', 'last'].map((text) => el('th', { scope: 'col' }, text)))),
    el('tbody', {}, sensor.points.toReversed().map(([slot, min, max, last]) => el('tr', {},
      el('th', { scope: 'row' }, TIME.format(start + slot * setup.bucketMs)),
      [min, max, last].map((value) => el('td', {}, number(value))))))));
}
