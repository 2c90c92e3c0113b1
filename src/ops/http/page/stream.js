// The connection to the gateway: server-sent events, and what to do when they stay away.

// The gateway sends every second; after this long without a word it is gone.
const SILENCE_MS = 5000;
const AGAIN_MS = 2000;

export function follow(onMessage, onState) {
  let source = null;
  let heardAt = performance.now();
  let lostSince = null;
  let pause = null;

  function lost() {
    if (lostSince === null) {
      lostSince = Date.now();
    }
    onState('lost', lostSince);
  }

  async function retry() {
    // The stream does not say why it ended; a plain request does.
    try {
      const response = await fetch('/api/v1/state', { cache: 'no-store', signal: AbortSignal.timeout(SILENCE_MS) });
      if (response.status === 401) {
        location.reload();
        return;
      }
    } catch {
      // Still away.
    }
    open();
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(pause);
    pause = null;
  }

  function again() {
    close();
    lost();
    pause = setTimeout(retry, AGAIN_MS);
  }

  function open() {
    close();
    heardAt = performance.now();
    source = new EventSource('/api/v1/stream');
    source.onmessage = (event) => {
      heardAt = performance.now();
      lostSince = null;
      onMessage(JSON.parse(event.data));
      onState('live', null);
    };
    source.onerror = again;
  }

  setInterval(() => {
    if (source && performance.now() - heardAt > SILENCE_MS) {
      again();
    } else if (lostSince !== null) {
      onState('lost', lostSince);
    }
  }, 1000);
  // A phone that was asleep need not wait.
  addEventListener('online', open);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && lostSince !== null) {
      open();
    }
  });
  open();
}
