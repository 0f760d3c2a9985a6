"""Deepgram's own SDK, against a listener (first argument) and a speaker (second). Tells what it understood as JSON."""

import json
import struct
import sys

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

listener, speaker, key = sys.argv[1:]
environment = DeepgramClientEnvironment(base=speaker, production=listener, agent=listener, agent_rest=speaker)
client = DeepgramClient(api_key=key, environment=environment)


def word(number):
    return struct.pack("<1600h", *[number] * 1600)


interim, final, kinds = [], [], []
with client.listen.v1.connect(
    model="nova-3",
    encoding="linear16",
    sample_rate=16000,
    interim_results="true",
    endpointing="300",
) as socket:
    for number in [1, 2, 3, 0, 0, 0, 4]:
        socket.send_media(word(number))
    socket.send_keep_alive()
    socket.send_finalize()
    socket.send_close_stream()
    for message in socket:
        kinds.append(type(message).__name__)
        if message.type == "Results":
            said = message.channel.alternatives[0].transcript
            (final if message.is_final else interim).append((said, message.speech_final, message.from_finalize))

sound = b"".join(
    client.speak.v1.audio.generate(
        text="Good morning.",
        model="aura-2-thalia-en",
        encoding="linear16",
        container="none",
        sample_rate=24000,
    )
)
json.dump({"interim": interim, "final": final, "kinds": kinds, "sound": list(sound)}, sys.stdout)
