// Numbers, times and conditions in words.

import { el, setText } from './dom.js';

// What the gateway's clocks said, and when we heard it.
const heard = { wall: Date.now(), boot: 0, at: performance.now() };

export function hear(message) {
  heard.wall = message.wall_ms;
  heard.boot = message.boot_ms;
  heard.at = performance.now();
}

export function wallNow() {
  return heard.wall + performance.now() - heard.at;
}

export function bootNow() {
  return heard.boot + performance.now() - heard.at;
}

export function number(value) {
  if (typeof value !== 'number') {
    return value === null || value === undefined ? '–' : String(value);
  }
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) {
    return value.toExponential(3);
  }
  const digits = size >= 1000 ? 1 : size >= 10 ? 2 : 3;
  return new Intl.NumberFormat('en', { maximumFractionDigits: digits }).format(value);
}

export function whole(value) {
  return new Intl.NumberFormat('en', { maximumFractionDigits: 0 }).format(value);
}

export function plural(count, word) {
  return `${whole(count)} ${word}${count === 1 ? '' : 's'}`;
}

export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size >= 100 || unit === 0 ? whole(size) : number(Math.round(size * 10) / 10)} ${units[unit]}`;
}

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) {
    return '…';
  }
  return perSecond >= 10 || perSecond === 0 ? `${whole(perSecond)} /s` : `${number(Math.round(perSecond * 100) / 100)} /s`;
}

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return seconds % 60 && minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  }
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

export function clock(ms) {
  return Math.abs(wallNow() - ms) < 20 * 3600e3 ? CLOCK.format(ms) : DAY.format(ms);
}

// A time that is told as the time since then (or until then), and kept right as time goes by.
export function age(ms, before = '', after = '') {
  const node = el('time', { datetime: new Date(ms).toISOString(), title: new Date(ms).toLocaleString(), 'data-at': ms, 'data-before': before, 'data-after': after });
  tick(node);
  return node;
}

function tick(node) {
  const apart = wallNow() - Number(node.dataset.at);
  setText(node, `${node.dataset.before}${duration(Math.abs(apart))}${node.dataset.after}`);
}

export function tickAll() {
  document.querySelectorAll('[data-at]').forEach(tick);
}

export function valueText(value, unit) {
  return `${typeof value === 'number' ? number(value) : String(value ?? '–')}${unit ? `\u00a0${unit}` : ''}`;
}

const shown = (limit, unit) => (Array.isArray(limit) ? limit.map((one) => valueText(one, '')).join(' or ') : valueText(limit, unit));

// The limit as a clause: "above 8 °C".
export function limitText(condition, limit, unit) {
  switch (condition) {
    case 'high': return `above ${shown(limit, unit)}`;
    case 'low': return `below ${shown(limit, unit)}`;
    case 'outside': return `outside ${number(limit[0])} to ${valueText(limit[1], unit)}`;
    case 'equals': return `is ${shown(limit, '')}`;
    case 'not-equals': return `is not ${shown(limit, '')}`;
    case 'rate-above': return `changes faster than ${shown(limit, unit)} a second`;
    case 'deviation': return `off its set point by more than ${shown(limit, unit)}`;
    case 'stale': return `silent for more than ${duration(limit * 1000)}`;
    default: return `limit ${shown(limit, unit)}`;
  }
}

const CHANGES = { raised: 'raised', escalated: 'escalated', repeated: 'still active', cleared: 'cleared', superseded: 'superseded' };
const TYPES = { 'gateway.started': 'gateway started', 'events.lost': 'events lost', 'source.lost': 'source lost', 'source.restored': 'source restored' };

export function eventText(event) {
  if (event.alarm) {
    const { name, change } = event.alarm;
    return `${name} ${CHANGES[change] ?? change}`;
  }
  const short = event.type.replace(/^tidegate\./, '').replace(/\.v\d+$/, '');
  return TYPES[short] ?? short;
}
