// Runs in the page before its own scripts, and touches none of them: records what the page plays, and counts what its connections received.
(() => {
  const RATE_HZ = 16000;
  const WORKLET = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
  });`;
  const connections = [];
  const samples = [];
  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
  };

  async function tap(element) {
    const context = new AudioContext({ sampleRate: RATE_HZ });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" })));
    const node = new AudioWorkletNode(context, "tap");
    node.port.onmessage = ({ data }) => samples.push(...data);
    context.createMediaStreamSource(element.srcObject).connect(node);
  }

  new MutationObserver((changes) => {
    for (const node of changes.flatMap((change) => [...change.addedNodes])) {
      if (node instanceof HTMLAudioElement) tap(node);
    }
  }).observe(document, { childList: true, subtree: true });

  async function received() {
    const all = { packets: 0, energy: 0 };
    for (const connection of connections) {
      for (const entry of (await connection.getStats()).values()) {
        if (entry.type !== "inbound-rtp" || entry.kind !== "audio") continue;
        all.packets += entry.packetsReceived;
        all.energy += entry.totalAudioEnergy;
      }
    }
    return all;
  }

  /** Stretches of sound, each ended by `pauseMs` of silence, in samples. */
  function utterances(pauseMs) {
    const frame = RATE_HZ / 50;
    const found = [];
    let last;
    for (let at = 0; at + frame <= samples.length; at += frame) {
      const loud = samples.slice(at, at + frame).some((sample) => Math.abs(sample) > 0.01);
      if (loud) {
        last ??= { from: at };
        last.to = at + frame;
      } else if (last && (at - last.to) / RATE_HZ >= pauseMs / 1000) {
        found.push(last);
        last = undefined;
      }
    }
    return found;
  }

  const pcm = ({ from, to }) => Array.from(samples.slice(from, to), (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
  window.ear = { received, utterances, pcm };
})();
