// The sensors: one row each, drawn when it comes into sight.

import { byId, el, setText, tag } from './dom.js';
import { picture, table } from './sparkline.js';
import { bootNow, clock, duration, limitText, plural, valueText, wallNow, whole } from './words.js';

// Rows at first, and by each "Show more": a phone draws some hundreds at once, not thousands.
const ROWS_STEP = 200;
// The gateway answers for so many sensors at a time.
const HISTORY_ROWS = 50;
// Without an alarm that says how long is too long.
const SILENT_MS = 3600e3;
const RANK = { info: 1, low: 2, medium: 3, high: 4, critical: 5 };

const setup = { bucketMs: 30000, pointsMax: 120 };
let sensors = [];
let order = [];
let alarmOf = new Map();
let epoch = -1;
let shownMax = ROWS_STEP;
let wanted = new Set();
let asking = false;

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const sensor = sensors[Number(target.dataset.row)];
    if (sensor && sensor.node === target) {
      sensor.inSight = isIntersecting;
      if (isIntersecting) {
        show(sensor);
      }
    }
  }
}, { rootMargin: '300px' });

function make(data, index) {
  return { ...data, index, seen: data.seen_ms, points: [], known: false, node: null, inSight: false, drawn: null };
}

function build(sensor) {
  const levels = sensor.name.split('/');
  const quantity = levels.pop();
  sensor.cells = {
    value: el('div', { class: 'row-value' }),
    figure: el('div'),
    seen: el('span'),
    tags: el('span', { class: 'tags' }),
    details: el('details', {}, el('summary', {}, 'table')),
  };
  const { value, figure, seen: time, tags, details } = sensor.cells;
  details.addEventListener('toggle', () => tabulate(sensor));
  sensor.node = el('div', { class: 'row', role: 'listitem', 'data-row': sensor.index },
    el('div', { class: 'row-name' }, el('span', { class: 'path' }, levels.join('/')), el('span', { class: 'quantity' }, quantity)),
    value,
    el('div', { class: 'spark' }, figure, details),
    el('div', { class: 'row-seen' }, tags, time));
  seen.observe(sensor.node);
}

function tabulate(sensor) {
  const { details } = sensor.cells;
  details.querySelector('.table')?.remove();
  if (details.open) {
    details.append(table(sensor, setup));
  }
}

function silentAfter(sensor) {
  const limits = sensor.limits.filter((limit) => limit.condition === 'stale').map((limit) => limit.limit * 1000);
  return Math.min(...limits, SILENT_MS);
}

function isSilent(sensor) {
  return sensor.seen === null || bootNow() - sensor.seen > silentAfter(sensor);
}

function show(sensor) {
  const { cells, node } = sensor;
  const alarm = alarmOf.get(sensor.name);
  const silent = isSilent(sensor);
  node.className = `row${alarm ? ` in-alarm ${alarm.severity}` : ''}${silent ? ' silent' : ''}`;
  const text = typeof sensor.value === 'string';
  const key = `${sensor.value}|${sensor.unit}`;
  if (sensor.drawnValue !== key) {
    sensor.drawnValue = key;
    const [number, unit] = [valueText(sensor.value, ''), sensor.unit];
    cells.value.replaceChildren(el('span', { class: text ? 'text' : '' }, number), unit && sensor.value !== null ? el('span', { class: 'unit' }, `\u00a0${unit}`) : '');
  }
  const apart = sensor.seen === null ? null : bootNow() - sensor.seen;
  setText(cells.seen, apart === null ? 'not heard since the start' : silent ? `silent for ${duration(apart)}` : apart < 2000 ? 'now' : `${duration(apart)} ago`);
  cells.seen.title = apart === null ? '' : clock(wallNow() - apart);
  const tags = `${alarm?.severity}|${alarm?.alarm}|${silent}`;
  if (sensor.drawnTags !== tags) {
    sensor.drawnTags = tags;
    cells.tags.replaceChildren(alarm ? tag(alarm.severity, `${alarm.severity}: ${alarm.alarm}`) : silent ? tag('medium', 'silent') : '');
  }
  if (!sensor.known) {
    wanted.add(sensor.index);
    ask();
    return;
  }
  const newest = sensor.points.at(-1);
  const drawn = `${sensor.points.length}|${newest}|${Math.floor(bootNow() / setup.bucketMs)}`;
  if (sensor.drawn !== drawn) {
    sensor.drawn = drawn;
    const image = picture(sensor, setup);
    cells.figure.replaceChildren(image ?? el('p', { class: 'muted small' }, typeof sensor.value === 'string' ? 'a text, not drawn' : 'nothing in the last hour'));
    cells.details.hidden = !image;
    setText(cells.details.firstChild, image && sensor.limits.length > 0 ? `table · ${limitText(sensor.limits[0].condition, sensor.limits[0].limit, sensor.unit)}` : 'table');
  }
}

async function ask() {
  if (asking) {
    return;
  }
  asking = true;
  // Rows that come into sight together are asked for together.
  await new Promise((resolve) => { setTimeout(resolve, 30); });
  const rows = [...wanted].slice(0, HISTORY_ROWS);
  const asked = epoch;
  rows.forEach((row) => wanted.delete(row));
  try {
    const response = await fetch(`/api/v1/history?epoch=${epoch}&rows=${rows.join(',')}`, { cache: 'no-store' });
    if (response.ok && asked === epoch) {
      const answer = await response.json();
      for (const row of rows) {
        const sensor = sensors[row];
        if (sensor) {
          // What came while we asked is newer.
          const old = (answer.rows[row] ?? []).filter((point) => sensor.points.length === 0 || point[0] < sensor.points[0][0]);
          sensor.points = [...old, ...sensor.points];
          sensor.known = true;
          show(sensor);
        }
      }
    }
  } catch {
    // The gateway is away; the stream tells, and what is in sight is asked for again.
  }
  asking = false;
  if (wanted.size > 0) {
    ask();
  }
}

function note(sensor, point) {
  if (!point) {
    return;
  }
  if (sensor.points.at(-1)?.[0] === point[0]) {
    sensor.points[sensor.points.length - 1] = point;
  } else {
    sensor.points.push(point);
    const first = point[0] - setup.pointsMax;
    while (sensor.points[0][0] <= first) {
      sensor.points.shift();
    }
  }
}

// Sorted by name, as a person would: pump2 before pump10.
function arrange() {
  const collator = new Intl.Collator('en', { numeric: true });
  order = [...sensors].sort((a, b) => collator.compare(a.name, b.name));
}

function list() {
  const words = byId('find').value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const only = byId('only').checked;
  const fits = (sensor) => words.every((word) => sensor.name.toLowerCase().includes(word)) && (!only || alarmOf.has(sensor.name) || isSilent(sensor));
  const all = order.filter(fits);
  const rows = all.slice(0, shownMax);
  for (const sensor of rows) {
    if (!sensor.node) {
      build(sensor);
      show(sensor);
    }
  }
  const place = byId('sensor-rows');
  const nodes = rows.map((sensor) => sensor.node);
  if (nodes.length !== place.children.length || nodes.some((node, index) => place.children[index] !== node)) {
    place.replaceChildren(...nodes);
  }
  byId('sensors-more').hidden = all.length <= rows.length;
  setText(byId('sensors-more'), `Show more (${whole(all.length - rows.length)})`);
  setText(byId('sensors-count'), all.length === sensors.length ? whole(sensors.length) : `${whole(all.length)} of ${whole(sensors.length)}`);
  const none = byId('sensors-none');
  none.hidden = rows.length > 0;
  setText(none, sensors.length === 0 ? 'No sensor has spoken yet.' : 'No sensor fits.');
}

export function take(message, alarms) {
  setup.bucketMs = message.bucket_ms;
  setup.pointsMax = message.points_max;
  alarmOf = new Map();
  for (const alarm of alarms) {
    const known = alarmOf.get(alarm.sensor);
    if ((alarm.state === 'active' || alarm.state === 'clearing') && (!known || RANK[alarm.severity] > RANK[known.severity])) {
      alarmOf.set(alarm.sensor, alarm);
    }
  }
  if (message.sensors) {
    seen.disconnect();
    epoch = message.epoch;
    wanted = new Set();
    sensors = message.sensors.map(make);
    arrange();
  }
  if (message.added) {
    const known = sensors.length - message.added_from;
    message.added.slice(known).forEach((data) => sensors.push(make(data, sensors.length)));
    arrange();
  }
  for (const [row, value, unit, at, point] of message.changed ?? []) {
    const sensor = sensors[row];
    if (sensor) {
      Object.assign(sensor, { value, unit, seen: at });
      note(sensor, point);
    }
  }
  list();
  for (const sensor of sensors) {
    if (sensor.inSight) {
      show(sensor);
      if (sensor.cells.details.open && sensor.tabled !== sensor.drawn) {
        sensor.tabled = sensor.drawn;
        tabulate(sensor);
      }
    }
  }
}

export function start() {
  const anew = () => {
    shownMax = ROWS_STEP;
    list();
  };
  byId('find').addEventListener('input', anew);
  byId('only').addEventListener('change', anew);
  byId('sensors-more').addEventListener('click', () => {
    shownMax += ROWS_STEP;
    list();
  });
}

export function summary() {
  return plural(sensors.length, 'sensor');
}
