// The verdict on top, and the cards of upstream, queue, clock and flash, and sources.

import { byId, el, facts, refill, setText, svg, tag } from './dom.js';
import { age, bytes, clock, duration, plural, rate, wallNow, whole } from './words.js';

const place = (id) => byId(id).querySelector('.fill');

// What is to be said first, worst first.
export function verdict(state) {
  const { status } = state;
  const bad = [];
  const care = [];
  const active = state.alarms.filter((alarm) => alarm.state === 'active' || alarm.state === 'clearing');
  const { store, upstream } = status;
  if (store.fault) {
    bad.push(`The store works around a fault: ${store.fault}`);
  }
  if (store.full) {
    bad.push('The store is full and takes nothing more until events are delivered or space returns.');
  }
  if (upstream && !upstream.connected && !upstream.between_calls) {
    care.push(`Upstream is not connected; ${plural(store.waiting, 'event')} ${store.waiting === 1 ? 'waits' : 'wait'} in the store.`);
  }
  if (upstream?.connected && upstream.refused) {
    care.push(`Upstream refuses events; ${plural(store.waiting, 'event')} ${store.waiting === 1 ? 'waits' : 'wait'} in the store.`);
  }
  if (!upstream) {
    care.push('No upstream is configured: events are stored and not forwarded.');
  }
  for (const [name, source] of Object.entries(status.sources)) {
    if (!source.up) {
      care.push(`Source ${name} is not connected.`);
    }
  }
  if (store.dead_letters > 0) {
    care.push(`${plural(store.dead_letters, 'event')} set aside, as the upstream refuses them: tidegate dead list`);
  }
  if (state.engine_waits) {
    care.push('The engine waits for the store; alarms and limits are shown as they were.');
  }
  if (upstream?.certificate?.notice) {
    care.push(upstream.certificate.notice);
  }
  if (status.clock?.state === 'unsynchronized') {
    care.push('The clock is not synchronized; times are doubtful until a time service confirms them.');
  }
  const line = active.length > 0 ? `${plural(active.length, 'alarm')} active` : bad.length + care.length > 0 ? 'No alarm, but something needs a look' : 'All is well';
  const worst = active.some((alarm) => alarm.severity === 'critical' || alarm.severity === 'high');
  const box = byId('verdict');
  box.dataset.state = bad.length > 0 || worst ? 'bad' : active.length + care.length > 0 ? 'care' : 'good';
  setText(byId('verdict-line'), line);
  refill(byId('verdict-why'), [bad, care], () => [...bad, ...care].slice(0, 6).map((text) => el('li', {}, text)));
}

export function upstream(state) {
  const { upstream: up, version } = state.status;
  refill(place('upstream'), [up, version], () => {
    if (!up) {
      return [el('p', { class: 'big' }, el('span', { class: 'state care' }, 'Not configured')), el('p', { class: 'muted' }, 'Events are stored and wait.')];
    }
    const since = Date.parse(up.since);
    const words = up.connected && up.refused ? ['Connected, events refused', 'care'] : up.connected ? ['Connected', 'good'] : up.between_calls ? ['Between calls', 'good'] : ['Not connected', 'bad'];
    const breaker = { closed: 'closed', open: 'open: next connection starts with few events', 'half-open': 'half-open: must prove itself first' }[up.breaker.state] ?? up.breaker.state;
    return [
      el('p', { class: 'big' }, el('span', { class: `state ${words[1]}` }, words[0])),
      el('p', { class: 'muted' }, age(since, 'for '), ` (since ${clock(since)})`),
      up.connected && up.refused && el('p', { class: 'quote' }, up.refused),
      !up.connected && up.last_error && el('p', { class: 'quote' }, up.last_error),
      facts(
        up.broker && ['Broker', up.brokers > 1 ? `${up.broker} (${up.broker_number} of ${up.brokers})` : up.broker],
        up.next_attempt && ['Next attempt', clock(Date.parse(up.next_attempt)), ' (', until(Date.parse(up.next_attempt)), ')'],
        ['Breaker', up.breaker.failures > 0 ? `${breaker}, ${plural(up.breaker.failures, 'failure')}` : breaker],
        ['In flight', `${whole(up.inflight)} of ${whole(up.window)}`],
        ['Delivered', `${whole(up.delivered)} since the start`],
      ),
    ];
  });
}

function until(ms) {
  return ms > wallNow() ? age(ms, 'in ') : 'now';
}

export function queue(state) {
  const { store } = state.status;
  const { queue: rates } = state;
  refill(place('queue'), [store, rates], () => {
    const share = store.max_bytes > 0 ? store.bytes / store.max_bytes : 0;
    const percent = Math.min(100, share * 100);
    const grade = store.full || share > 0.95 ? 'bad' : share > 0.8 ? 'care' : '';
    return [
      el('p', { class: 'big num' }, whole(store.waiting), el('span', { class: 'unit' }, store.waiting === 1 ? ' event waits' : ' events wait')),
      el('p', { class: 'muted num' }, `${bytes(store.bytes)} of ${bytes(store.max_bytes)}, ${percent < 10 ? percent.toFixed(1) : Math.round(percent)} % of the quota`),
      el('div', { class: `meter ${grade}`, 'aria-hidden': 'true' },
        svg('svg', { viewBox: '0 0 100 8', preserveAspectRatio: 'none' }, svg('rect', { width: percent.toFixed(2), height: 8 }))),
      store.fault && el('p', { class: 'quote' }, store.fault),
      facts(
        rates.oldest_ms !== null && ['Oldest', age(rates.oldest_ms, '', ' old')],
        ['Stored', rate(rates.stored_per_s)],
        ['Delivered', rate(rates.delivered_per_s)],
        store.waiting > 0 && ['Empty in', rates.left_s === null ? 'not while it goes on like this' : duration(rates.left_s * 1000)],
        store.retained_bytes > 0 && ['Kept, delivered', bytes(store.retained_bytes)],
        store.lost > 0 && ['Lost since the start', whole(store.lost)],
        store.dead_letters > 0 && ['Set aside', whole(store.dead_letters)],
      ),
    ];
  });
}

export function machine(state) {
  const { clock: time, wear } = state.status;
  // The time goes on by itself; only the rest makes the card anew.
  refill(place('machine'), [time && { ...time, time: 0 }, wear], () => {
    const good = time && time.state !== 'unsynchronized';
    const hours = wear ? Math.max(1, Math.ceil(wear.day_s / 3600)) : 0;
    const stretch = hours >= 24 ? 'day' : hours === 1 ? 'hour' : `${hours} hours`;
    return [
      time && el('p', { class: 'big' }, el('span', { class: `state ${good ? 'good' : 'care'}` }, good ? 'Synchronized' : 'Not synchronized')),
      time && el('p', { class: 'muted' }, good ? `by ${time.confirmed_by ?? 'nobody'}, ` : 'no time service has confirmed it, ', age(Date.parse(time.since), 'for ')),
      facts(
        time?.jumps > 0 && ['Set since the start', plural(time.jumps, 'time')],
        time?.repaired > 0 && ['Events repaired', whole(time.repaired)],
        wear && [`Flash, last ${stretch}`, bytes(wear.day_bytes)],
        wear && ['Flash, since the start', bytes(wear.written_bytes)],
        wear && wear.per_event_bytes !== null && ['Flash, each event', bytes(wear.per_event_bytes)],
        !wear && ['Flash', 'not told by this system'],
      ),
    ];
  });
}

export function sources(state) {
  const { sources: all } = state.status;
  refill(place('sources'), [all, state.links], () => {
    const entries = Object.entries(all);
    if (entries.length === 0) {
      return el('p', { class: 'muted' }, 'No source is configured: nothing is read.');
    }
    return el('ul', { class: 'list' }, entries.map(([name, source]) => {
      const link = state.links[name];
      const rejects = Object.entries(source.rejects);
      const refused = rejects.reduce((sum, [, count]) => sum + count, 0);
      return el('li', {},
        el('div', { class: 'line' },
          el('span', { class: `state ${source.up ? 'good' : 'bad'}` }, el('strong', {}, name)),
          el('span', { class: 'muted small grow' }, source.up ? 'connected' : 'not connected', link && link.up === source.up ? [', ', age(link.since_ms, 'for ')] : ''),
          el('span', { class: 'small num' }, `${plural(source.messages, 'message')}, ${plural(source.readings, 'reading')}`),
          refused > 0 && tag('medium', `${whole(refused)} refused`)),
        !source.up && link && !link.up && el('p', { class: 'quote' }, link.reason),
        refused > 0 && el('p', { class: 'muted small' }, 'Refused: ', rejects.map(([reason, count]) => `${whole(count)} ${reason}`).join(', ')));
    }));
  });
}
