"""What `trunkline bench --url` is pointed at for a comparison: LiveKit Agents with its defaults, on the bench's stub providers.

    pip install "livekit-agents[openai,silero]"
    LIVEKIT_URL=… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… BENCH_PROVIDERS=http://127.0.0.1:8090/v1 python livekit_agents.py start
"""

import os

from livekit.agents import Agent, AgentSession, JobContext, JobProcess, WorkerOptions, cli
from livekit.plugins import openai, silero

SERVICE = {"base_url": os.environ["BENCH_PROVIDERS"], "api_key": "none"}


def prewarm(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()


async def entrypoint(job: JobContext) -> None:
    session = AgentSession(
        vad=job.proc.userdata["vad"],
        stt=openai.STT(model="whisper-1", **SERVICE),
        llm=openai.LLM(model="stub", **SERVICE),
        tts=openai.TTS(model="tts-1", response_format="pcm", **SERVICE),
        turn_detection="vad",
    )
    await session.start(agent=Agent(instructions="You are the receptionist of the Garden Clinic."), room=job.room)
    await session.say("Hello, this is the Garden Clinic. How can I help you?")


def no_load(*_: object) -> float:
    """The bench decides how many calls there are: a worker that reports a busy machine gets none, and says nothing."""
    return 0.0


if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm, load_fnc=no_load))
