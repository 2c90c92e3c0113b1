// Puts what the gateway says where it belongs.

import * as cards from './cards.js';
import { byId, setText } from './dom.js';
import * as lists from './lists.js';
import * as sensors from './sensors.js';
import { follow } from './stream.js';
import { duration, hear, tickAll } from './words.js';

// The last of everything; a delta brings only what has changed.
const state = { alarms: [], events: [], refused: [] };

function onMessage(message) {
  hear(message);
  for (const name of ['status', 'queue', 'links', 'engine_waits', 'alarms', 'alarms_in_all', 'refused', 'events']) {
    if (message[name] !== undefined) {
      state[name] = message[name];
    }
  }
  const { gateway, version } = state.status;
  setText(byId('gateway'), gateway);
  setText(byId('version'), `tidegate ${version}`);
  cards.verdict(state);
  cards.upstream(state);
  cards.queue(state);
  cards.machine(state);
  cards.sources(state);
  lists.alarms(state);
  lists.events(state);
  lists.refused(state);
  sensors.take(message, state.alarms);
  const active = state.alarms.filter((alarm) => alarm.state === 'active' || alarm.state === 'clearing').length;
  document.title = active > 0 ? `(${active}) ${gateway} · tidegate` : `${gateway} · tidegate`;
  tickAll();
}

function onState(now, since) {
  const live = byId('live');
  const banner = byId('banner');
  live.dataset.state = now;
  setText(byId('live-text'), now === 'live' ? 'live' : 'no connection');
  document.body.classList.toggle('is-lost', now === 'lost');
  banner.hidden = now === 'live';
  if (now === 'lost') {
    const at = new Date(since).toLocaleTimeString('en-GB');
    setText(banner, `No connection to the gateway since ${at} (${duration(Date.now() - since)}). What you see is from then; it is tried again every few seconds.`);
  } else {
    setText(banner, '');
  }
}

sensors.start();
follow(onMessage, onState);
