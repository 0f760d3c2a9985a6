// Runs in the page before its own scripts: keeps what each room is told of the agent and of what is said, by LiveKit's own client.
(() => {
  const states = [];
  const captions = [];
  const streams = [];
  let room;

  async function read(reader, { identity }) {
    const stream = { from: identity, parts: [] };
    streams.push(stream);
    for await (const part of reader) stream.parts.push(part);
    stream.attributes = reader.info.attributes;
  }

  /** Watches every room that `client`, the page's livekit-client, makes from now on. */
  function watch(client) {
    client.Room = class extends client.Room {
      constructor(...args) {
        super(...args);
        room = this;
        this.registerTextStreamHandler("lk.transcription", read);
        this.on("participantAttributesChanged", (changed) => {
          if (changed["lk.agent.state"]) states.push(changed["lk.agent.state"]);
        });
        this.on("transcriptionReceived", (segments, participant, publication) => {
          for (const { id, text, final } of segments) {
            captions.push({ id, text, final, from: participant?.identity, track: publication?.trackSid });
          }
        });
      }
    };
  }

  const write = (text) => room.localParticipant.sendText(text, { topic: "lk.chat" });
  const told = () => ({ states, captions, streams, us: room.localParticipant.identity });
  window.wire = { watch, write, told };
})();
