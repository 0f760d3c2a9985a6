"""OpenAI's own SDK, against the service whose base is the first argument. Tells what it understood as JSON."""

import io
import json
import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0, timeout=20)

deltas, transcript = [], None
recording = ("utterance.wav", io.BytesIO(b"RIFF"), "audio/wav")
for event in client.audio.transcriptions.create(model="gpt-4o-mini-transcribe", file=recording, stream=True):
    if event.type == "transcript.text.delta":
        deltas.append(event.delta)
    if event.type == "transcript.text.done":
        transcript = event.text

text, name, arguments, finish, usage = "", None, "", None, None
tool = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object", "properties": {}}}}
chat = client.chat.completions.create(
    model="gpt-4o-mini",
    messages=[{"role": "user", "content": "Where is my order?"}],
    tools=[tool],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in chat:
    usage = chunk.usage or usage
    for choice in chunk.choices:
        text += choice.delta.content or ""
        finish = choice.finish_reason or finish
        for call in choice.delta.tool_calls or []:
            name = call.function.name or name
            arguments += call.function.arguments or ""

speech = client.audio.speech.with_streaming_response
with speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Good morning.", response_format="pcm") as answer:
    sound = b"".join(answer.iter_bytes())

json.dump(
    {
        "deltas": deltas,
        "transcript": transcript,
        "text": text,
        "name": name,
        "arguments": arguments,
        "finish": finish,
        "tokens": usage.total_tokens,
        "sound": list(sound),
    },
    sys.stdout,
)
