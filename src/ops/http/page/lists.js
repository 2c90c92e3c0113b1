// The lists: active alarms, recent events, refused input.

import { byId, el, refill, setText, tag } from './dom.js';
import { age, clock, duration, eventText, limitText, plural, valueText, whole } from './words.js';

const place = (id) => byId(id).querySelector('.fill');

const STATES = { pending: 'on delay', clearing: 'clearing', normal: 'normal' };

function extras(alarm) {
  return [
    alarm.state !== 'active' && tag('info', STATES[alarm.state] ?? alarm.state),
    alarm.waits_for_acknowledgement && tag('info', 'gone, waits to be acknowledged'),
    alarm.acknowledged && tag('good', 'acknowledged'),
    alarm.shelved_s !== null && tag('info', `shelved, ${duration(alarm.shelved_s * 1000)} left`),
    alarm.suppressed && tag('info', 'suppressed'),
  ];
}

export function alarms(state) {
  const all = state.alarms;
  byId('alarms').hidden = all.length === 0;
  const more = state.alarms_in_all - all.length;
  setText(byId('alarms-count'), all.length === 0 ? '' : `${whole(state.alarms_in_all)}${more > 0 ? `, the ${whole(all.length)} most severe are shown` : ''}`);
  refill(byId('alarm-list'), all, () => all.map((alarm) => {
    const quiet = alarm.state !== 'active' && alarm.state !== 'clearing';
    const unit = alarm.condition === 'stale' ? '' : alarm.unit;
    const limit = alarm.condition ? limitText(alarm.condition, alarm.limit, alarm.unit) : '';
    return el('li', { class: `alarm ${alarm.severity}${quiet ? ' quiet' : ''}` },
      el('div', { class: 'alarm-head' }, tag(alarm.severity), el('strong', {}, alarm.alarm), extras(alarm)),
      el('p', { class: 'muted small' }, alarm.sensor),
      el('p', { class: 'alarm-value num' }, valueText(alarm.value, alarm.unit), ' ', el('span', { class: 'why muted' }, limit)),
      el('p', { class: 'small muted num' },
        alarm.since && [`since ${clock(Date.parse(alarm.since))}, `, age(Date.parse(alarm.since))],
        alarm.peak !== null && alarm.peak !== undefined && `${alarm.since ? ' · ' : ''}peak ${valueText(alarm.peak, unit)}`));
  }));
}

export function events(state) {
  refill(place('events'), state.events, () => {
    if (state.events.length === 0) {
      return el('p', { class: 'muted' }, 'None since the gateway started.');
    }
    return el('ul', { class: 'list scroll', tabindex: '0', 'aria-label': 'Recent events' }, state.events.map((event) => {
      const { alarm } = event;
      const over = alarm && (alarm.change === 'cleared' || alarm.change === 'superseded');
      return el('li', {},
        el('div', { class: 'line' },
          el('span', { class: 'muted small num' }, clock(event.time_ms)),
          over ? tag('good', 'cleared') : tag(event.severity),
          el('strong', { class: 'grow' }, eventText(event))),
        el('p', { class: 'small muted' }, event.subject,
          alarm && alarm.value !== null && alarm.condition !== 'stale' && ` · ${valueText(alarm.value, alarm.unit)}`,
          alarm && ` · limit: ${limitText(alarm.condition, alarm.limit, alarm.unit)}`,
          event.text && ` · ${event.text}`));
    }));
  });
}

// Bytes as text: what can be printed as it is, the rest as \xNN.
function printable(hex) {
  const raw = Uint8Array.from(hex.match(/../g) ?? [], (two) => parseInt(two, 16));
  let text;
  try {
    // A cut may fall into a character; what is left of that is at the end.
    text = new TextDecoder('utf-8', { fatal: true }).decode(raw, { stream: true });
  } catch {
    text = String.fromCharCode(...raw.map((byte) => (byte < 0x80 ? byte : 0xff)));
  }
  const parts = [];
  for (const piece of text.split(/([\u0000-\u001f\u007f-\u009f\u00ff\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff])/u)) {
    if (piece.length === 1 && /[\u0000-\u001f\u007f-\u009f\u00ff\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u.test(piece)) {
      const code = piece.codePointAt(0);
      const name = { 9: '\\t', 10: '\\n', 13: '\\r', 255: '\\x??' }[code] ?? (code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`);
      parts.push(el('span', { class: 'ctl' }, name));
    } else if (piece) {
      parts.push(piece);
    }
  }
  return parts;
}

const spaced = (hex) => (hex.match(/../g) ?? []).join(' ');

export function refused(state) {
  const open = new Set([...place('refused').querySelectorAll('details[open]')].map((node) => node.dataset.key));
  refill(place('refused'), state.refused, () => {
    if (state.refused.length === 0) {
      return el('p', { class: 'muted' }, 'None since the gateway started.');
    }
    return el('ul', { class: 'list scroll', tabindex: '0', 'aria-label': 'Refused input' }, state.refused.map((one) => {
      const key = `${one.source} ${one.reason} ${one.topic}`;
      const cut = one.length > one.raw_hex.length / 2;
      return el('li', {},
        el('div', { class: 'line' },
          el('span', { class: 'muted small num' }, clock(one.at_ms)),
          tag('medium', one.reason),
          el('strong', { class: 'grow' }, one.source),
          one.times > 1 && el('span', { class: 'small muted num' }, plural(one.times, 'time'))),
        el('p', { class: 'small' }, one.what),
        one.topic && el('p', { class: 'small muted' }, `topic ${one.topic}`),
        one.length > 0 && el('pre', { class: 'raw mono' }, printable(one.raw_hex), cut && el('span', { class: 'muted' }, ` … ${plural(one.length, 'byte')} in all`)),
        one.length > 0 && el('details', { 'data-key': key, open: open.has(key) }, el('summary', {}, 'as hexadecimal'), el('pre', { class: 'raw mono' }, spaced(one.raw_hex))));
    }));
  });
}
